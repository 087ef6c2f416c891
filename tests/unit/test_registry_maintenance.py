"""What the registry commands print if some or all registries did not answer."""

import datetime as dt

import pytest

from factory.errors import RegistryError
from factory.registry.maintenance import Cleanup, Deletion, SetupReport

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
SILENT = RegistryError("it cannot be reached", solution="Look at the network.")


def cleanup(*deletions: Deletion, errors: tuple[RegistryError, ...] = ()) -> Cleanup:
    return Cleanup(
        purpose="prune",
        dry_run=True,
        fates=deletions,
        freed_bytes=10 * len(deletions),
        notes=(),
        errors=errors,
    )


def deletion() -> Deletion:
    return Deletion(
        registry="scratch",
        reference="registry.example/team/stack@sha256:" + "1" * 64,
        tags=("a",),
        bytes=10,
        moment=NOW,
        state="would be deleted",
        reason="old",
        by_hand="",
    )


def lines(report: Cleanup) -> list[str]:
    return [part for part in report.describe() if isinstance(part, str)]


def test_where_nothing_could_be_read_nothing_is_claimed() -> None:
    assert lines(cleanup(errors=(SILENT,))) == [
        "nothing is known of what would be deleted and what would stay"
    ]


@pytest.mark.parametrize(("errors", "told"), [((), False), ((SILENT,), True)])
def test_what_is_incomplete_says_so(errors: tuple[RegistryError, ...], *, told: bool) -> None:
    said = lines(cleanup(deletion(), errors=errors))
    assert said[:2] == ["1 to delete, 0 stay; 10 B would be freed", "nothing was deleted: --yes deletes"]
    assert any("this is not all" in line for line in said) == told


def test_registries_that_are_empty_have_nothing_to_do() -> None:
    assert lines(cleanup()) == ["nothing to delete, 0 stay"]


def test_a_setup_that_found_nothing_has_no_table() -> None:
    assert [*SetupReport(dry_run=True, registries=()).describe()] == []
