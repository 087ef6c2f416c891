"""factory diff: what two states of flavors differ in, as data and in words."""

from hashlib import sha256

import pytest
from support.clean_flavor import INDEX, NAME, PROJECT, further_lock_texts, lock_text

from factory.console import Table
from factory.flavor.project import parse_project
from factory.lock.lockset import parse_lock_set
from factory.upkeep.diff import (
    FileDifference,
    FlavorDifference,
    ListDifference,
    OtherIndex,
    PackageDifference,
    SettingDifference,
    describe_difference,
    difference,
    difference_markdown,
)
from factory.upkeep.snapshot import Snapshot

LOCK = lock_text()
SPLIT = PROJECT.replace(
    "[[tool.factory.missing]]",
    '[[tool.factory.indexes]]\nname = "nums"\nurl = "https://nums.example.com/simple/"\n'
    'packages = ["numpy"]\n\n[[tool.factory.missing]]',
)


def _snapshot(project: str = PROJECT, lock: str | None = LOCK, *, revision: str | None = None) -> Snapshot:
    return Snapshot(
        flavor=NAME,
        revision=revision,
        commit=None if revision is None else "0123456789abcdef",
        project=parse_project(project, where="pyproject.toml"),
        locks=None if lock is None else parse_lock_set({"requirements.txt": lock}),
    )


def _to(project: str = PROJECT, lock: str | None = LOCK) -> FlavorDifference:
    return difference(_snapshot(revision="HEAD"), _snapshot(project, lock))


def _words(found: FlavorDifference) -> str:
    """What people read, a table's rows with single blanks."""
    lines = []
    for part in describe_difference(found):
        lines += [" ".join(row) for row in part.rows] if isinstance(part, Table) else [part]
    return "\n".join(lines)


def _edited(old: str, new: str, text: str = LOCK) -> str:
    assert old in text
    return text.replace(old, new)


def test_two_equal_states_do_not_differ() -> None:
    found = _to()
    assert not found.differs
    assert _words(found) == f"{NAME} at HEAD (0123456789ab) -> {NAME}: no difference"
    assert difference_markdown(found).endswith("\n\nNo difference.")


def test_a_version_that_changed_says_how_far_and_which_way() -> None:
    lock = _edited("numpy==2.4.1", "numpy==2.3.5")
    found = _to(lock=_edited("urllib3==2.6.2", "urllib3==2.6.3", lock))
    assert found.changed == (
        PackageDifference(name="numpy", before="2.4.1", after="2.3.5", direct=True, step="minor", older=True),
        PackageDifference(
            name="urllib3", before="2.6.2", after="2.6.3", direct=False, step="patch", older=False
        ),
    )
    assert "numpy 2.4.1 2.3.5 minor, older direct" in _words(found)
    assert "| urllib3 | 2.6.2 | 2.6.3 | patch |  |" in difference_markdown(found)


def test_packages_that_came_and_went_are_named() -> None:
    found = _to(lock=_edited("urllib3==", "urllib4=="))
    assert [item.name for item in found.added] == ["urllib4"]
    assert [item.name for item in found.removed] == ["urllib3"]
    assert "urllib3 2.6.2 - removed" in _words(found)
    assert "urllib4 - 2.6.2 added" in _words(found)
    assert "**Added: 1 package**" in difference_markdown(found)


def test_new_bytes_under_the_same_name_are_shown_with_both_digests() -> None:
    digest = LOCK[LOCK.index("urllib3==") :].partition("sha256:")[2][:64]
    found = _to(lock=_edited(digest, "b" * 64))
    assert found.rehashed == (
        FileDifference(
            package="urllib3",
            version="2.6.2",
            same_index=True,
            file_name="urllib3-2.6.2-py3-none-any.whl",
            before=digest,
            after="b" * 64,
        ),
    )
    assert (found.changed, found.added, found.removed) == ((), (), ())
    assert f"urllib3-2.6.2-py3-none-any.whl {digest[:12]} bbbbbbbbbbbb" in _words(found)
    assert "1 with other hashes" in _words(found)


def test_a_file_that_one_lock_lacks_is_on_one_side_only() -> None:
    name = "numpy-2.4.1-cp312-cp312-manylinux_2_28_aarch64.whl"
    digest = sha256(name.encode()).hexdigest()
    lock = LOCK.replace(f" \\\n    --hash=sha256:{digest}", "").replace(f"    # {name}\n", "")
    found = _to(lock=lock)
    assert found.rehashed == (
        FileDifference(
            package="numpy", version="2.4.1", same_index=True, file_name=name, before=digest, after=None
        ),
    )


def test_what_another_index_has_of_a_version_is_named_and_no_more() -> None:
    digest = LOCK[LOCK.index("urllib3==") :].partition("sha256:")[2][:64]
    project = PROJECT.replace(INDEX, "https://packages.example.com/cuda13.0/next/")
    found = _to(project, _edited(digest, "b" * 64))
    assert [(item.package, item.same_index) for item in found.rehashed] == [("urllib3", False)]
    for text in (_words(found), difference_markdown(found)):
        assert "the same version from another index, with hashes of its own: urllib3" in text
        assert digest[:12] not in text


def test_digests_without_names_are_told_by_themselves() -> None:
    nameless = "\n".join(line for line in LOCK.splitlines() if not line.startswith("    # "))
    digest = LOCK[LOCK.index("urllib3==") :].partition("sha256:")[2][:64]
    found = difference(_snapshot(lock=nameless), _snapshot(lock=_edited(digest, "b" * 64, nameless)))
    assert {(item.file_name, item.before, item.after) for item in found.rehashed} == {
        (None, digest, None),
        (None, None, "b" * 64),
    }


NEXT = "https://packages.example.com/next/"
WAIVER = """\
[[tool.factory.waivers]]
finding = "drift"
package = "numpy"
reason = "later"
expires = 2027-01-31
"""
END = "[[tool.factory.missing]]"


@pytest.mark.parametrize(
    ("old", "new", "key", "before", "after"),
    [
        (
            "example/base:1",
            "example/base:2",
            "base-image",
            "quay.io/example/base:1",
            "quay.io/example/base:2",
        ),
        (
            "product-base",
            "p",
            "downstream-base-image",
            "quay.io/example/product-base:1",
            "quay.io/example/p:1",
        ),
        (INDEX, NEXT, "index-url", INDEX, NEXT),
        (f'index-url = "{INDEX}"\n', "", "index-url", INDEX, None),
        ('torch = "2.11.0"', 'torch = "2.12.0"', "torch", "2.11.0", "2.12.0"),
        (END, f'template-set = "own"\n\n{END}', "template-set", "universal", "own"),
        (END, f'glibc = "2.28"\n\n{END}', "glibc", "2.34", "2.28"),
        (END, f'name = "mine"\n\n{END}', "name", None, "mine"),
        (END, f'redirect-hosts = ["f.example.com"]\n\n{END}', "redirect-hosts", None, "f.example.com"),
        (', "linux/arm64"]', "]", "platforms", "linux/amd64, linux/arm64", "linux/amd64"),
    ],
)
def test_each_key_of_the_spec_is_compared(
    old: str, new: str, key: str, before: str | None, after: str | None
) -> None:
    found = _to(_edited(old, new, PROJECT))
    assert found.differs
    assert found.settings == (SettingDifference(key=key, before=before, after=after),)
    assert f"  {key}: {before or 'none'} -> {after or 'none'}" in _words(found)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"numpy>=2.0,<3"', '"numpy>=2.4,<3"', ("dependencies", ("numpy>=2.0,<3",), ("numpy>=2.4,<3",))),
        ('["urllib3>=2.6"]', "[]", ("constraint-dependencies", ("urllib3>=2.6",), ())),
        (', "protobuf>=6"', "", ("override-dependencies", ("protobuf>=6",), ())),
        (
            '"flash-attn>=2.8"',
            '"flash-attn>=2.9"',
            (
                "missing",
                ("flash-attn>=2.8 (the index has source distributions only)",),
                ("flash-attn>=2.9 (the index has source distributions only)",),
            ),
        ),
        (
            END,
            f"{WAIVER}\n{END}",
            ("waivers", (), ("drift numpy until 2027-01-31 (later)",)),
        ),
        (
            END,
            f'[tool.factory.hooks]\nenvironment = {{HF_HOME = "/x"}}\n\n{END}',
            ("hooks.environment", (), ("HF_HOME=/x",)),
        ),
    ],
)
def test_each_list_is_compared_entry_by_entry(
    old: str, new: str, expected: tuple[str, tuple[str, ...], tuple[str, ...]]
) -> None:
    key, removed, added = expected
    found = _to(_edited(old, new, PROJECT))
    assert found.requirements == (ListDifference(key=key, removed=removed, added=added),)
    assert all(f"  + {line}" in _words(found) for line in added)
    assert all(f"  - {line}" in _words(found) for line in removed)


def test_the_order_of_entries_is_no_difference() -> None:
    turned = PROJECT.replace('    "torch==2.11.0",\n', "").replace(
        '"numpy>=2.0,<3",', '"numpy>=2.0,<3",\n    "torch==2.11.0",'
    )
    assert not _to(turned).differs


def test_a_package_that_comes_from_another_index_now_is_told() -> None:
    after = Snapshot(
        flavor=NAME,
        revision=None,
        commit=None,
        project=parse_project(SPLIT, where="pyproject.toml"),
        locks=parse_lock_set(further_lock_texts(SPLIT)),
    )
    found = difference(_snapshot(), after)
    assert found.moved == (OtherIndex(package="numpy", before="main", after="nums"),)
    assert (found.changed, found.added, found.removed, found.rehashed) == ((), (), (), ())
    assert found.settings == (
        SettingDifference(key="index nums", before=None, after="https://nums.example.com/simple/ for numpy"),
    )


def test_a_side_that_is_not_locked_is_said_to_be() -> None:
    found = _to(lock=None)
    assert not found.after.locked
    assert f"{NAME} is not locked" in _words(found)
    assert len(found.removed) == 5


def test_long_tables_of_a_pull_request_are_behind_a_click() -> None:
    more = "".join(f"package-{number}==1.0 --hash=sha256:{'a' * 64}\n" for number in range(21))
    assert "<details><summary>Added: 21 packages</summary>" in difference_markdown(_to(lock=LOCK + more))
    assert "<details>" not in difference_markdown(_to(lock=LOCK + more.partition("package-20")[0]))


def test_a_bar_or_a_backtick_in_an_entry_does_not_break_the_table() -> None:
    project = _edited('reason = "the index', 'reason = "`a` | b: the index', PROJECT)
    (row,) = (line for line in difference_markdown(_to(project)).splitlines() if "a` \\| b" in line)
    assert row.replace("\\|", "").count("|") == 4
    assert "`` flash-attn" in row or "``flash-attn" in row


def test_what_somebody_wrote_into_a_url_is_not_repeated() -> None:
    asked = '"numpy @ https://me:hunter2@x.example.com/numpy-2.4.1-py3-none-any.whl"'
    found = _to(_edited('"numpy>=2.0,<3"', asked, PROJECT))
    assert "https://***@x.example.com" in _words(found)
    assert "hunter2" not in f"{found}{_words(found)}{difference_markdown(found)}"
