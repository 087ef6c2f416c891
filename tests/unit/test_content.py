"""What of an image's files counts, and that no link of an image leads to this machine."""

import os
from pathlib import Path

import pytest

from factory.image.content import tree_digest
from factory.image.mounting import without_links


def _tree(root: Path) -> Path:
    (root / "opt" / "tool").mkdir(parents=True)
    (root / "opt" / "tool" / "run").write_text("true")
    (root / "opt" / "link").symlink_to("tool")
    (root / "etc").symlink_to("/etc")
    return root


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/opt/tool/", "opt/tool"),
        ("/opt/tool/run", "opt/tool/run"),
        ("/", "."),
        ("/opt/link/run", None),
        ("/opt/link", None),
        ("/etc/passwd", None),
        ("/opt/../../etc", None),
        ("/none", None),
        ("/opt/tool/run/none", None),
    ],
)
def test_a_path_of_an_image_is_found_where_no_link_is_on_the_way(
    tmp_path: Path, path: str, found: str | None
) -> None:
    tree = _tree(tmp_path)
    assert without_links(tree, path) == (None if found is None else tree / found)


def test_each_thing_that_counts_changes_the_digest(tmp_path: Path) -> None:
    place = _tree(tmp_path) / "opt"
    run = place / "tool" / "run"
    seen = [tree_digest(place)]
    assert tree_digest(place) == seen[0]
    run.write_text("false")
    seen.append(tree_digest(place))
    run.chmod(0o755)
    seen.append(tree_digest(place))
    run.rename(run.with_name("other"))
    seen.append(tree_digest(place))
    (place / "link").unlink()
    (place / "link").symlink_to("other")
    seen.append(tree_digest(place))
    (place / "empty").mkdir()
    seen.append(tree_digest(place))
    assert len(set(seen)) == len(seen)


def test_times_do_not_count(tmp_path: Path) -> None:
    place = _tree(tmp_path) / "opt"
    before = tree_digest(place)
    os.utime(place / "tool" / "run", (1, 1))
    assert tree_digest(place) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away and capabilities to them")
def test_owners_and_file_capabilities_count(tmp_path: Path) -> None:
    place = _tree(tmp_path) / "opt"
    run = place / "tool" / "run"
    seen = [tree_digest(place)]
    os.chown(run, 1001, 0)
    seen.append(tree_digest(place))
    # cap_net_bind_service, permitted and effective, in the form of struct vfs_cap_data, revision 2
    os.setxattr(run, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    seen.append(tree_digest(place))
    assert len(set(seen)) == len(seen)
