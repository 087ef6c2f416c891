"""Image references against the grammar of the reference implementation, and against podman itself."""

import re
import shutil
import subprocess

import pytest
from fuzz.searching import searched
from hypothesis import strategies as st

from factory.flavor.references import find_reference

# github.com/distribution/reference, grammar at the head of reference.go, and its bound of 255 characters.
_COMPONENT = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = r"[a-z0-9]+(?:(?:[_.]|__|[-]+)[a-z0-9]+)*"
_NAME = rf"(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_GRAMMAR = re.compile(rf"(?P<name>{_NAME})(?::{_TAG})?(?:@{_DIGEST})?", re.ASCII)
_LONGEST_NAME = 255

PIECES = st.sampled_from(
    [
        *("localhost", "quay.io", "a", "A", "0", "images", "[::1]", "127.0.0.1", "registry-1.docker.io", "é"),
        *("/", "//", ":", ":5000", ":latest", "@", f"@sha256:{'a' * 64}", f"@md5:{'a' * 32}", "@sha256:00"),
        *(
            "-",
            "--",
            "_",
            "__",
            "___",
            ".",
            "..",
            " ",
            "\n",
            "\t",
            "--help",
            "-a",
            "$(id)",
            "%2e",
            "\x00",
            "oci:",
        ),
    ]
)
TEXTS = st.lists(PIECES, min_size=1, max_size=7).map("".join)


@searched(TEXTS)
def test_a_reference_is_one_by_the_grammar(text: str) -> None:
    """What the factory takes for a reference is one, and never an option or a path."""
    if find_reference(text) is not None:
        match = _GRAMMAR.fullmatch(text)
        assert match is not None, text
        assert len(match["name"]) <= _LONGEST_NAME
        assert not text.startswith(("-", ".", "/"))


@searched(TEXTS, examples=50)
def test_what_podman_takes_for_no_reference_is_none(text: str) -> None:
    """What the factory takes for a reference, podman does as well."""
    if find_reference(text) is not None:
        assert _podman_knows_the_form(text), text


def test_podman_tells_a_reference_from_another_text() -> None:
    """The comparison would pass on everything if podman answered in another way."""
    assert _podman_knows_the_form("localhost/nothing-of-the-kind:latest")
    assert not _podman_knows_the_form("localhost/UPPER:latest")


def _podman_knows_the_form(text: str) -> bool:
    podman = shutil.which("podman")
    if podman is None:
        pytest.fail("podman is not installed; scripts/engine.sh installs it")
    done = subprocess.run([podman, "image", "exists", "--", text], capture_output=True, check=False)
    return done.returncode in {0, 1}
