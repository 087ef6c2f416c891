"""Which images a Dockerfile needs before it is built without a network."""

import json
from pathlib import Path

import pytest

from factory.cli.main import main
from factory.downstream.strip import base_images
from factory.errors import SpecError

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM r.example/a:1", ["r.example/a:1"]),
        ("FROM --platform=linux/amd64 r.example/a:1 AS x", ["r.example/a:1"]),
        ("FROM a:1\nFROM b:2\nFROM a:1", ["a:1", "b:2"]),
        # A stage is known by its name in any case, from the line on where it stands.
        ("FROM a:1 AS Wheel\nFROM wheel", ["a:1"]),
        ("FROM a:1 as w\nFROM b:2 AS w2\nFROM W", ["a:1", "b:2"]),
        ("FROM scratch\nCOPY a /", []),
        # What only looks like a FROM.
        ('RUN python -c "\\\nfrom pathlib import Path" \\\n from pathlib\nFROM a:1', ["a:1"]),
        ("FROM a:1\nRUN true && \\\n    from pathlib import Path", ["a:1"]),
        ("FROM a:1\nRUN python <<EOF\nfrom pathlib import Path\nEOF", ["a:1"]),
        ("FROM a:1\n# FROM b:2", ["a:1"]),
        # Variables.
        ("ARG BASE_IMAGE=r.example/a:1\nFROM ${BASE_IMAGE}", ["r.example/a:1"]),
        ("ARG BASE_IMAGE='a:1'\nFROM $BASE_IMAGE", ["a:1"]),
        ('ARG BASE_IMAGE="a:1"\nFROM "${BASE_IMAGE}"', ["a:1"]),
        ("ARG TAG=1\nARG BASE_IMAGE=a:${TAG}\nFROM ${BASE_IMAGE}", ["a:1"]),
        ("FROM a:${TAG:-1}", ["a:1"]),
        # No tool pulls by tag and digest.
        (f"FROM r.example:5000/a/b:1.2@{DIGEST}", [f"r.example:5000/a/b@{DIGEST}"]),
        (f"FROM r.example:5000/a/b@{DIGEST}", [f"r.example:5000/a/b@{DIGEST}"]),
        ("FROM a:\u0661", None),
        ("FROM a:1\nARG TAG=1\nFROM b:${TAG}", None),
        ("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}", None),
        ("FROM a", None),
        ("FROM", None),
        ("FROM a:1 b:2", None),
        ("RUN true", None),
        ("", None),
    ],
)
def test_the_images_of_a_dockerfile(text: str, images: list[str] | None) -> None:
    if images is None:
        with pytest.raises(SpecError):
            base_images(text.encode())
    else:
        assert list(base_images(text.encode()).images) == images


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("ARG BASE_IMAGE=a:1\nFROM ${BASE_IMAGE}\nFROM b:2", [f"r.example/new@{DIGEST}", "b:2"]),
        ("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}", [f"r.example/new@{DIGEST}"]),
    ],
)
def test_another_base_image_takes_the_place_of_the_default(text: str, images: list[str]) -> None:
    found = base_images(text.encode(), base_image=f"r.example/new:3@{DIGEST}")
    assert list(found.images) == images


@pytest.mark.parametrize("text", ["FROM a:1", "FROM a:1\nARG BASE_IMAGE=b:2", "ARG BASE=a:1\nFROM ${BASE}"])
def test_another_base_image_that_nothing_takes_is_an_error(text: str) -> None:
    with pytest.raises(SpecError, match="no ARG BASE_IMAGE before the first FROM"):
        base_images(text.encode(), base_image="b:2")


def test_the_error_names_the_line() -> None:
    with pytest.raises(SpecError, match=r"line 3 of the Dockerfile: `FROM b:\$\{TAG\}`"):
        base_images(b"FROM a:1\nRUN true\nFROM b:${TAG}\n")


def test_the_command_prints_one_image_a_line_without_those_of_midstream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    banner = "#" * 20
    block = f"{banner}\n# MIDSTREAM ONLY\n{banner}\nFROM m:1 AS m\n{banner}\n# END MIDSTREAM ONLY\n{banner}\n"
    path = tmp_path / "Dockerfile"
    path.write_text(f"ARG BASE_IMAGE=a:1\n{block}FROM ${{BASE_IMAGE}}\nFROM b:2\n")
    words = ["strip", str(path), "--base-images"]
    assert _run(words) == 0
    assert capsys.readouterr().out == "a:1\nb:2\n"
    assert _run([*words, "--base-image", "c:3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"images": ["c:3", "b:2"]}


@pytest.mark.parametrize("options", [["--base-image", "a:1"], ["--base-images", "--output", "x"]])
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM a:1\n")
    assert _run(["strip", str(path), *options]) == 2


def _run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert isinstance(ended.value.code, int)
    return ended.value.code
