"""What an image takes from other images, its identity has to know."""

from pathlib import Path

import pytest
from support.tiers import BASE

from factory.errors import ImageError
from factory.flavor.kinds import Parent
from factory.images.definitions import ImageDefinition
from factory.images.inputs import read_inputs

OTHER = "registry.example.com/vendor/tools:1"
BY_DIGEST = f"registry.example.com/vendor/tools@sha256:{'1' * 64}"
PARENTS = (
    Parent(argument="BASE_IMAGE", image=BASE),
    Parent(argument="STACK_IMAGE", image="stack"),
)
HEAD = "ARG BASE_IMAGE\nARG STACK_IMAGE\n"


def _read(folder: Path, text: str, **build_args: str) -> None:
    (folder / "Dockerfile").write_text(HEAD + text)
    read_inputs(
        ImageDefinition(
            name="trainer",
            kind="trainer",
            folder=folder,
            dockerfile="Dockerfile",
            parents=PARENTS,
            build_args=tuple(build_args.items()),
        )
    )


@pytest.mark.parametrize(
    "text",
    [
        "FROM ${BASE_IMAGE}\n",
        'FROM "$STACK_IMAGE"\n',
        f"FROM {BASE}\n",
        "FROM --platform=linux/amd64 ${BASE_IMAGE} AS Builder\nFROM builder\nCOPY --from=BUILDER /a /b\n",
        "FROM ${BASE_IMAGE}\nFROM ${STACK_IMAGE}\nCOPY --from=0 --chown=1001:0 /a /b\n",
        f"FROM SCRATCH\nCOPY --from={BASE} /a /b\n",
        f"FROM {BY_DIGEST}\nCOPY --from={OTHER}@sha256:{'2' * 64} /a /b\n",
        f"ARG TOOLS={BY_DIGEST}\nFROM ${{TOOLS}}\n",
        "FROM ${NEVER_SET:-scratch}\n",
        f"FROM scratch\n# FROM {OTHER}\nRUN tool --from={OTHER} <<EOF\nFROM {OTHER}\nEOF\n",
        "FROM scratch\nFROM scratch\nRUN --mount=type=cache,target=/x --mount=type=bind,from=0 true\n",
    ],
)
def test_what_is_declared_or_named_by_digest_is_taken_from(tmp_path: Path, text: str) -> None:
    _read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f"FROM {OTHER}\n", f"line 3 of Dockerfile takes from {OTHER}, "),
        # The name of a stage is one below its end alone.
        (
            "FROM node AS node\nFROM scratch\nCOPY --from=node /a /b\n",
            "line 3 of Dockerfile takes from node, ",
        ),
        ("FROM builder AS golang\nFROM scratch AS builder\n", "line 3 of Dockerfile takes from builder, "),
        (
            "FROM scratch\nCOPY --from=debian /a /b\nFROM scratch AS debian\n",
            "line 4 of Dockerfile takes from debian, ",
        ),
        ("FROM scratch\nCOPY --from=1 /a /b\nFROM scratch\n", "line 4 of Dockerfile takes from 1, "),
        (
            'FROM scratch\nRUN --mount=type=bind,"from=debian",target=/x true\n',
            "line 4 of Dockerfile takes from debian, ",
        ),
        (
            f"FROM scratch\nCOPY --chmod=0644 --from={OTHER} /a /b\n",
            f"line 4 of Dockerfile takes from {OTHER}",
        ),
        (f"FROM scratch\nADD \\\n  --from={OTHER} /a /b\n", f"line 5 of Dockerfile takes from {OTHER}"),
        (f"FROM scratch\nRUN --mount=type=bind,from={OTHER},target=/x true\n", f"takes from {OTHER}"),
        # One that no later stage needs is fetched as well, where the engine builds the file by itself.
        (f"FROM {OTHER} AS unused\nFROM scratch\n", f"takes from {OTHER}"),
        (f"ARG TOOLS={OTHER}\nFROM ${{TOOLS}}\n", f"takes from ${{TOOLS}} ({OTHER})"),
        (f"ARG TAG=1\nFROM {OTHER[:-1]}${{TAG}}\n", f"({OTHER})"),
        # Not the image of the repository, but one of that name from wherever the engine looks.
        ("FROM stack\n", "takes from stack,"),
        ("FROM scratch AS one\nCOPY --from=2 /a /b\n", "takes from 2,"),
    ],
)
def test_what_is_not_declared_is_refused_with_its_line(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(ImageError) as refused:
        _read(tmp_path, text)
    assert where in refused.value.reason
    assert "which is none of its `parents`" in refused.value.reason
    assert "digest" in refused.value.solution


def test_an_image_in_a_build_argument_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="takes from"):
        _read(tmp_path, "ARG TOOLS\nFROM $TOOLS\n", TOOLS=OTHER)
    _read(tmp_path, "ARG TOOLS\nFROM $TOOLS\n", TOOLS=BY_DIGEST)


@pytest.mark.parametrize(
    "text",
    [
        "FROM ${BASE_IMAGE}\nCOPY --from=${BASE_IMAGE} /a /b\n",
        "FROM ${BASE_IMAGE}\nRUN --mount=type=bind,from=$STACK_IMAGE,target=/m cp /m/a /b\n",
    ],
)
def test_an_argument_names_a_stage_and_nothing_to_copy_from(tmp_path: Path, text: str) -> None:
    """The part's key would have its name and not what it stands for."""
    with pytest.raises(ImageError) as refused:
        _read(tmp_path, text)
    assert "of Dockerfile takes from $" in refused.value.reason
    assert "AS NAME" in refused.value.solution


def test_what_nothing_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError, match=r"line 3 of Dockerfile takes from \$TOOLS, whose value is not known"
    ):
        _read(tmp_path, "FROM $TOOLS\n")
