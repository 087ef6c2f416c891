"""What of a layout or a destination is refused before anything is pushed."""

import json
from pathlib import Path

import pytest

from factory.errors import ImageError, SpecError
from factory.publish.push import _destination
from factory.publish.source import read_layout


@pytest.mark.parametrize(
    "manifests",
    [[{}], [{"digest": 5}], ["x"], {"a": 1}, [{"digest": "sha256:aa", "annotations": "x"}]],
    ids=str,
)
def test_a_malformed_layout_is_told_as_one(tmp_path: Path, manifests: object) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    with pytest.raises(ImageError, match="is no OCI layout that can be read"):
        read_layout(tmp_path, None)


@pytest.mark.parametrize("address", ["https://me:secret@quay.io/x", "me:secret@quay.io/x"])
def test_a_login_in_a_destination_is_not_shown(address: str) -> None:
    with pytest.raises(SpecError) as refused:
        _destination(address, {})
    said = f"{refused.value.reason} {refused.value.solution}"
    assert "secret" not in said
    assert said.startswith("--to: ")
    assert "quay.io/x" in said
