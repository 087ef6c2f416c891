"""The steps of a Dockerfile: where they begin, what they remember of each other, and that nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import GOLDEN

from factory.dockerfile.instructions import declared_arguments
from factory.dockerfile.steps import BuildSteps, base_references, dockerfile_of, parse_steps

BUILDER = "FROM base:1 AS builder\nCOPY a /a\n"
LAYER = "COPY --from=builder /layers/{0}/ /usr/share/factory/layers/{0}/\nRUN install {0}\n"


def layer(name: str) -> str:
    return LAYER.format(name)


def texts(found: BuildSteps) -> list[str]:
    return [step.text for step in found.steps]


def built(found: BuildSteps, position: int, **images: str) -> str:
    return dockerfile_of(found, found.steps[position], base="sha256:base", images=images)


@pytest.mark.parametrize(
    ("final", "expected"),
    [
        ("RUN a\nRUN b", ["RUN a\nRUN b"]),
        (layer("one") + "LABEL a=b", [layer("one").rstrip(), "LABEL a=b"]),
        (layer("one") + layer("two"), [layer("one").rstrip(), layer("two").rstrip()]),
        (
            "ENV A=b\nUSER 0\n" + layer("one") + "RUN hook\nCOPY x /x",
            ["ENV A=b\nUSER 0\n" + layer("one").rstrip(), "RUN hook\nCOPY x /x"],
        ),
        (
            "ENV A=b\nRUN dnf\n" + layer("one") + layer("two") + "COPY x /x",
            ["ENV A=b\nRUN dnf", layer("one").rstrip(), layer("two").rstrip(), "COPY x /x"],
        ),
        (
            "RUN dnf\n\n# of one\n" + layer("one") + "\n# of the rest\nCOPY x /x\n# end",
            ["RUN dnf", "\n# of one\n" + layer("one").rstrip(), "\n# of the rest\nCOPY x /x\n# end"],
        ),
        (
            "RUN <<END\n# no comment\nEND\n" + layer("one"),
            ["RUN <<END\n# no comment\nEND", layer("one").rstrip()],
        ),
        (
            "COPY --chmod=0644 --from=builder /layers/one/ /x/\nUSER 1001\nRUN a && \\\n# why\n    b\nRUN c",
            [
                "COPY --chmod=0644 --from=builder /layers/one/ /x/\nUSER 1001\nRUN a && \\\n# why\n    b",
                "RUN c",
            ],
        ),
        # Not a layer: a path below one, several sources, a variable, no stage.
        ("RUN a\nCOPY --from=builder /layers/one/file /x\nRUN b", None),
        ("RUN a\nCOPY --from=builder /layers/one/ /layers/two/ /x/\nRUN b", None),
        ("RUN a\nCOPY --from=builder /layers/$NAME/ /x/\nRUN b", None),
        ("RUN a\nCOPY /layers/one/ /x/\nRUN b", None),
        # What a build of its own would not see as the whole build does.
        ("ARG A=$B\nRUN a\n" + layer("one") + "RUN b", None),
        ("ONBUILD RUN a\nRUN b\n" + layer("one") + "RUN c", None),
    ],
)  # fmt: skip
def test_steps_begin_at_package_layers_and_behind_the_last(final: str, expected: list[str] | None) -> None:
    found = parse_steps(BUILDER + "FROM base:1\n" + final)
    whole = final.removesuffix("\n")
    assert texts(found) == ([whole] if expected is None else expected)
    assert found.final.text == whole


def test_a_step_knows_its_layer() -> None:
    found = parse_steps(BUILDER + "FROM base:1\nRUN dnf\n" + layer("one") + layer("rest") + "LABEL a=b\n")
    assert [step.layer for step in found.steps] == [None, "one", "rest", None]


LINES = st.sampled_from(
    [
        "RUN true", "RUN a && \\", "    b", "# comment", "", "ENV A=b", "ARG C=d", "ARG E=$A", "USER 0",
        "COPY x /x", "COPY --from=builder /layers/a/ /l/a/", "COPY --from=builder /layers/b/ /l/b/",
        'CMD ["a"]', "RUN <<END", "END", "ONBUILD RUN x", "WORKDIR /", "LABEL a=b", "\tRUN tab",
    ]
)  # fmt: skip


@given(st.lists(LINES, max_size=25))
def test_all_steps_together_are_the_final_stage(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = parse_steps(BUILDER + "FROM base:1\n" + text)
    assert "\n".join(texts(found)) == found.final.text == "\n".join(text.splitlines())
    read = [instruction for step in found.steps for instruction in step.instructions]
    assert tuple(read) == found.final.instructions


@pytest.mark.parametrize("accelerator", ["cpu", "cuda", "rocm"])
def test_the_rendered_dockerfiles_come_apart_without_loss(accelerator: str) -> None:
    text = (GOLDEN / accelerator / "expected" / "Dockerfile").read_text()
    found = parse_steps(text)
    assert "\n".join(texts(found)) == found.final.text
    assert text.removesuffix("\n").endswith("FROM ${BASE_IMAGE}\n" + found.final.text)
    assert [stage.names[1:] for stage in found.stages] == [("builder",)]


@pytest.mark.parametrize(
    ("before", "carried"),
    [
        ("ARG A=1\nARG B\n", ("ARG A=1", "ARG B")),
        ("ARG A=1\nENV A=2\n", ()),
        ("ENV A=2\nARG A=1\n", ("ARG A=1",)),
        ("ARG A=1 \\\n    B=2\n", ("ARG A=1 \\\n    B=2",)),
        ('SHELL ["/bin/a"]\nSHELL ["/bin/b"]\n', ('SHELL ["/bin/b"]',)),
        ('CMD ["a"]\nENV X=y\n', ('CMD ["a"]',)),
    ],
)
def test_a_step_says_again_what_an_image_does_not_remember(before: str, carried: tuple[str, ...]) -> None:
    found = parse_steps(BUILDER + "FROM base:1\nRUN dnf\n" + before + layer("one") + "LABEL a=b\n")
    # What stands before the layer is written already where there is something to build before it.
    assert [step.carried for step in found.steps] == [(), carried, carried]
    assert built(found, 2) == "\n".join(["FROM sha256:base", *carried, "LABEL a=b"]) + "\n"


def test_what_stands_before_the_first_from_is_there_for_every_segment() -> None:
    found = parse_steps(
        "# syntax=x\n# escape=\\\n\n# words\nARG BASE=base:1\nFROM $BASE\nARG BASE\nLABEL b=$BASE\n"
    )
    assert (
        built(found, 0)
        == "# syntax=x\n# escape=\\\nARG BASE=base:1\nFROM sha256:base\nARG BASE\nLABEL b=$BASE\n"
    )


def test_stages_are_named_by_their_images() -> None:
    text = (
        "FROM base:1 AS Builder\nRUN a\nFROM base:1 AS unused\nRUN b\nFROM builder\nFROM base:1\n"
        "COPY --from=BUILDER /a /a\nCOPY --from=2 /b /b\nCOPY --from=other:1 /c /c\n"
        "RUN --mount=type=bind,from=builder,target=/x \\\n    ls --from=there\n"
        'COPY --from="builder" /d /d\n'
    )
    found = parse_steps(text)
    assert [stage.names for stage in found.stages] == [("0", "builder"), ("2",)]
    assert built(found, 0, builder="B", **{"2": "C"}).splitlines()[1:] == [
        "COPY --from=B /a /a",
        "COPY --from=C /b /b",
        "COPY --from=other:1 /c /c",
        "RUN --mount=type=bind,from=B,target=/x \\",
        "    ls --from=there",
        'COPY --from="B" /d /d',
    ]


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("ARG B=base:1\nFROM ${B}\n", {}, {"${B}": "base:1"}),
        ("ARG B=base:1\nFROM ${B}\n", {"B": "other:2"}, {"${B}": "other:2"}),
        ("ARG B\nFROM $B AS x\nFROM x\n", {"B": "other:2"}, {"$B": "other:2", "x": "x"}),
        ('ARG V=1\nARG B="base:${V}"\nFROM $B\n', {"V": "3"}, {"$B": "base:3"}),
        ("FROM --platform=linux/amd64 base:1\n", {"B": "x"}, {"base:1": "base:1"}),
        # Not declared before the first FROM: it is none of its variables.
        ("FROM $B\nARG B\n", {"B": "x"}, {"$B": "$B"}),
    ],
)
def test_a_from_is_what_its_arguments_make_of_it(
    text: str, arguments: dict[str, str], expected: dict[str, str]
) -> None:
    assert base_references(parse_steps(text), arguments) == expected


@pytest.mark.parametrize(
    ("line", "paths", "stages"),
    [
        ("COPY a b /x/", ("a", "b"), ()),
        ('COPY --chown=1:0 ["a b", "c", "/x/"]', ("a b", "c"), ()),
        ("COPY --chmod=0644 --from=builder /a /b", ("/a",), ("builder",)),
        ('COPY --from="builder" "/a" /b', ("/a",), ("builder",)),
        ('RUN --mount="type=bind,from=one,target=/x" true', (), ("one",)),
        ("ADD a.tar /x", ("a.tar",), ()),
        ("RUN --mount=from=one,target=/x --mount=type=bind,from=two,target=/y true", (), ("one", "two")),
        ("RUN tool --from=one a b", (), ()),
        ("ENV A=--from=one", (), ()),
    ],
)
def test_what_an_instruction_takes_from_where(
    line: str, paths: tuple[str, ...], stages: tuple[str, ...]
) -> None:
    (instruction,) = parse_steps("FROM a\n" + line).final.instructions
    assert (instruction.sources, instruction.origins) == (paths, stages)


def test_arguments_are_known_by_name() -> None:
    found = parse_steps("FROM a\nARG A\nARG B=1 C=\"x y=z\"\nARG D='q'\nENV E=f\n")
    assert declared_arguments(found.final.instructions) == {"A", "B", "C", "D"}
