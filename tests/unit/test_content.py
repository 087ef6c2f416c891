"""What of an image's files counts, and that no link of an image leads to this machine."""

import os
from pathlib import Path

import pytest

from factory.build.parts import tree_digest
from factory.tree import Tree


def _tree(root: Path) -> Path:
    (root / "opt" / "tool").mkdir(parents=True)
    (root / "opt" / "tool" / "run").write_text("true")
    (root / "opt" / "link").symlink_to("tool")
    (root / "etc").symlink_to("/etc")
    return root


def _digest(root: Path, path: str) -> str | None:
    with Tree.opened(root) as tree:
        return tree_digest(tree, path)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/opt/tool/", True),
        ("/opt/tool/run", True),
        ("/", True),
        ("/opt/link/run", False),
        ("/opt/link", False),
        ("/etc/passwd", False),
        ("/opt/../../etc", False),
        ("/none", False),
        ("/opt/tool/run/none", False),
    ],
)
def test_a_path_of_an_image_is_found_where_no_link_is_on_the_way(
    tmp_path: Path, path: str, *, found: bool
) -> None:
    assert (_digest(_tree(tmp_path), path) is not None) == found


def test_each_thing_that_counts_changes_the_digest(tmp_path: Path) -> None:
    place = _tree(tmp_path) / "opt"
    run = place / "tool" / "run"
    seen = [_digest(tmp_path, "opt")]
    assert _digest(tmp_path, "opt") == seen[0]
    run.write_text("false")
    seen.append(_digest(tmp_path, "opt"))
    run.chmod(0o755)
    seen.append(_digest(tmp_path, "opt"))
    run.rename(run.with_name("other"))
    seen.append(_digest(tmp_path, "opt"))
    (place / "link").unlink()
    (place / "link").symlink_to("other")
    seen.append(_digest(tmp_path, "opt"))
    (place / "empty").mkdir()
    seen.append(_digest(tmp_path, "opt"))
    assert len(set(seen)) == len(seen)


def test_times_do_not_count(tmp_path: Path) -> None:
    place = _tree(tmp_path) / "opt"
    before = _digest(tmp_path, "opt")
    os.utime(place / "tool" / "run", (1, 1))
    assert _digest(tmp_path, "opt") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away and capabilities to them")
def test_owners_and_file_capabilities_count(tmp_path: Path) -> None:
    place = _tree(tmp_path) / "opt"
    run = place / "tool" / "run"
    seen = [_digest(tmp_path, "opt")]
    os.chown(run, 1001, 0)
    seen.append(_digest(tmp_path, "opt"))
    # cap_net_bind_service, permitted and effective, in the form of struct vfs_cap_data, revision 2
    os.setxattr(run, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    seen.append(_digest(tmp_path, "opt"))
    assert len(set(seen)) == len(seen)
