"""Images of very many files, and of names that mean something to a Dockerfile: what their labels say."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.built import factory
from support.podman import podman

from factory.dockerfile.model import read_dockerfile
from factory.engine.images import (
    IDENTITY_LABEL,
    IMAGE_LABEL,
    INPUTS_LABEL,
    image_labels,
    inputs_text,
    label_instruction,
)

ODD = '$HOME "${PATH}" \\ `id` #'
NAME = "labels-of-many-files"


@pytest.fixture
def parent(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with nothing in it."""
    name = "localhost/labels-of-many-files-parent:1"
    context = tmp_path_factory.mktemp("parent")
    (context / "Dockerfile").write_text("FROM scratch\nLABEL a=1\n")
    podman("build", "--quiet", "--network", "none", "--tag", name, context)
    yield name
    podman("image", "rm", "--force", name)


@pytest.mark.container
@pytest.mark.parametrize(
    ("directive", "files"), [("", 1400), ("# escape=`\n", 100)], ids=["very-many-files", "another-escape"]
)
def test_an_image_says_what_it_was_built_from_however_much_that_is(
    parent: str, tmp_path: Path, directive: str, files: int
) -> None:
    folder = tmp_path / "images" / NAME
    (folder / "src").mkdir(parents=True)
    (tmp_path / "flavors").mkdir()
    for number in range(files):
        (folder / "src" / f"a-file-with-a-name-of-some-length-{number:05}.txt").write_text(str(number))
    text = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nARG ODD\nCOPY src/ /src/\n"
    (folder / "Dockerfile").write_text(f"{directive}{text}")
    (tmp_path / "factory.toml").write_text(
        f'[images.{NAME}]\nkind = "stack"\nparent = "{parent}"\nbuild-args = {{ ODD = {json.dumps(ODD)} }}\n'
    )
    built = json.loads(factory("--root", tmp_path, "--json", "build", NAME))
    try:
        (document,) = json.loads(podman("image", "inspect", built["id"]))
    finally:
        podman("image", "rm", "--force", built["id"])
    labels = document["Config"]["Labels"]
    told = json.loads(inputs_text(labels))
    assert labels[IMAGE_LABEL] == NAME
    assert directive or len(inputs_text(labels)) > 131_072
    assert len([path for path in told["inputs"] if path.startswith("src/")]) == files
    assert told["build-args"] == {"ODD": ODD}
    # The text is what the identity is the digest of, to the last character.
    assert hashlib.sha256(inputs_text(labels).encode()).hexdigest() == labels[IDENTITY_LABEL]


@pytest.mark.parametrize("length", [0, 1, 7_999, 8_000, 8_001, 16_000, 16_001, 500_000])
def test_inputs_of_any_length_are_read_back(length: int) -> None:
    text = ("{" + ODD * (length // len(ODD) + 1))[:length]
    labels = image_labels(name="a", identity="b", inputs=text)
    assert inputs_text(labels) == text
    assert max(map(len, labels.values())) < 8_100


def test_further_parts_of_a_parent_do_not_count() -> None:
    parent = image_labels(name="parent", identity="b", inputs="{" + "x" * 40_000)
    child = {**parent, **image_labels(name="child", identity="c", inputs='{"a":1}')}
    assert inputs_text(child) == '{"a":1}'
    assert inputs_text({INPUTS_LABEL: "99999:x"}) == "x"
    assert inputs_text({}) == ""


def test_labels_of_a_dockerfile_are_lines_of_one_instruction() -> None:
    text = label_instruction(image_labels(name="a", identity="b", inputs="{" + ODD * 4_000))
    (item,) = read_dockerfile(text).instructions
    assert item.name == "LABEL"
    assert len(item.pieces) == len(text.splitlines()) > 10
    assert max(len(line.encode()) for line in text.splitlines()) < 65_000
    assert label_instruction({}) == ""
