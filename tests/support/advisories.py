"""Made-up advisories in the OSV format, and folders of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Event = Mapping[str, str]


def advisory(
    id_: str,
    package: str,
    *events: Event,
    versions: Sequence[str] = (),
    aliases: Sequence[str] = (),
    ecosystem: str = "PyPI",
    kind: str = "ECOSYSTEM",
    modified: str = "2026-11-01T12:00:00Z",
    **more: object,
) -> dict[str, object]:
    """An advisory about one package with one range of events, and whatever else is given."""
    affected: dict[str, object] = {"package": {"ecosystem": ecosystem, "name": package}}
    if events:
        affected["ranges"] = [{"type": kind, "events": list(events)}]
    if versions:
        affected["versions"] = list(versions)
    return {
        "schema_version": "1.7.0",
        "id": id_,
        "modified": modified,
        "aliases": list(aliases),
        "affected": [affected],
        **more,
    }


def write_advisories(folder: Path, *advisories: Mapping[str, object]) -> Path:
    """Write advisories into a folder, each into a folder of its first letters, and return the folder."""
    for one in advisories:
        path = folder / str(one["id"])[:3] / f"{one['id']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(one))
    return folder
