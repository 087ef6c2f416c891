"""What the index client takes from the machine, where the machine does not have it; and a server's pauses."""

import datetime as dt
from pathlib import Path

import pytest

from factory.http.retry import retry_after
from factory.index.configured import home_folder
from factory.index.credentials import read_netrc

_NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("Sun, 22 Nov 2026 12:00:05 GMT", 5),
        ("Sun, 22 Nov 2026 13:00:05 +0100", 5),
        ("Sun, 22 Nov 2026 12:00:05 -0000", 5),
        ("Sun, 22 Nov 2026 11:59:00 GMT", 0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("Sun, 99 Nov 2026 12:00:05 GMT", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Sun, 22 Nov 2026 99999999999:00:05 GMT", None),
    ],
)
def test_a_server_may_name_seconds_or_a_date_to_come_back_at(after: str, seconds: float | None) -> None:
    assert retry_after(after, now=_NOW) == seconds


def test_without_a_home_there_is_no_netrc(monkeypatch: pytest.MonkeyPatch) -> None:
    _homeless(monkeypatch)
    assert home_folder({}) is None
    assert read_netrc({}) == {}


def test_an_empty_home_is_none_and_not_the_folder_that_a_command_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _homeless(monkeypatch)
    (tmp_path / ".netrc").write_text("machine a.example login me password s3cret\n")
    monkeypatch.chdir(tmp_path)
    assert read_netrc({"HOME": ""}) == {}


def _homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a user id of which the system knows nothing."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
