"""Image references against podman's own parser: what the factory reads as one is one to the engine."""

import subprocess

from fuzz.searching import searched
from hypothesis import strategies as st

from factory.dockerfile.references import find_reference, is_image_id

PIECES = st.sampled_from(
    [
        *("a", "b0", "A", "0", "localhost", "quay.io", "host.example.com", "library", "f" * 63, "é"),
        *(".", "..", "-", "--", "---", "_", "__", "___", "/", "//", ":", "::", "@", " ", "\n", "[::1]"),
        *(":5000", ":1", ":latest", f"@sha256:{'0' * 64}", f"@sha512:{'a' * 128}", "@sha256:00", "@md5:00"),
        *("--help", "-v", "docker://", "oci:", "../", "./", "~", "+", "%2e", "$HOME", "\\"),
    ]
)
TEXTS = st.lists(PIECES, min_size=1, max_size=6).map("".join)
_UNKNOWN, _NO_REFERENCE = (0, 1), 125


@searched(TEXTS, examples=300)
def test_a_reference_is_one_to_podman_and_nothing_else_is(text: str) -> None:
    if "[" in text or is_image_id(text):
        # podman 4.3 knows no addresses of IPv6, and takes an ID for a name.
        return
    done = subprocess.run(
        ["podman", "image", "exists", "--", text], capture_output=True, text=True, check=False
    )
    assert done.returncode in {*_UNKNOWN, _NO_REFERENCE}, done.stderr
    assert (find_reference(text) is not None) == (done.returncode in _UNKNOWN), text


def test_podman_tells_what_is_no_reference_from_what_is_not_there() -> None:
    """The comparison would pass on everything if podman answered otherwise."""
    for text, status in (("a/b:1", 1), ("-a/a:1", _NO_REFERENCE)):
        done = subprocess.run(["podman", "image", "exists", "--", text], capture_output=True, check=False)
        assert done.returncode == status
