"""``factory audit`` on flavors of a private index: from a folder, and of a service with real pip-audit."""

import datetime as dt
import json
import shlex
import sys
from pathlib import Path

import pytest
from support.advisories import advisory, write_advisories
from support.locks import edit_lock
from support.osv_server import osv_server
from support.private_index import CPU, CUDA, ROCM, PrivateWorld
from support.wheels import make_wheel
from support.workshop import Run

from factory.errors import AdvisoryError, LockFileError
from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration

_START = {"introduced": "0"}
_PILLOW = advisory(
    "GHSA-pppp-2222-3333",
    "pillow",
    _START,
    {"fixed": "12.2.1"},
    {"introduced": "12.3.0"},
    {"fixed": "12.3.1"},
    aliases=["CVE-2026-54058", "PYSEC-2026-88"],
    modified="2026-11-20T08:00:00Z",
    summary="Heap overflow in a decoder",
    severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H"}],
    database_specific={"severity": "HIGH"},
)
_FLASH = advisory("PYSEC-2026-90", "flash-attn", _START, {"last_affected": "2.8.3"})
_HARMLESS = advisory("PYSEC-2026-91", "numpy", _START, {"fixed": "2.4.1"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_advisories(tmp_path / "advisories", _PILLOW, _FLASH, _HARMLESS)


def _waive(world: PrivateWorld, flavor: str, finding: str, *, days: int, package: str | None = None) -> None:
    expires = dt.datetime.now().astimezone().date() + dt.timedelta(days=days)
    project = world.folder(flavor) / "pyproject.toml"
    narrowed = f'package = "{package}"\n' if package else ""
    waiver = f'finding = "{finding}"\n{narrowed}reason = "not reached"\nexpires = {expires}\n'
    project.write_text(f"{project.read_text()}\n[[tool.factory.waivers]]\n{waiver}")


def _list(run: Run, key: str) -> list[dict[str, object]]:
    found = run.data[key]
    assert isinstance(found, list)
    return found


def _commands(finding: dict[str, object]) -> list[str]:
    found = finding["fix"]
    assert isinstance(found, list)
    return found


def _versions(finding: dict[str, object]) -> list[str]:
    found = finding["affected"]
    assert isinstance(found, list)
    return [affected["version"] for affected in found]


def test_findings_name_the_flavors_and_the_command(private_world: PrivateWorld, folder: Path) -> None:
    private_world.locked()
    run = private_world.run("audit", "--advisories", folder)
    assert run.status == 1
    assert "pillow 12.2.0: CVE-2026-54058 (GHSA-pppp-2222-3333, PYSEC-2026-88), HIGH CVSS:3.1/AV:N" in run.out
    assert "Heap overflow in a decoder" in run.out
    assert "fixed in 12.2.1, 12.3.1" in run.out
    assert (
        f"fix: factory bump 'pillow>=12.2.1' --image {CPU} --image {CUDA} --image {ROCM} "
        "--reason CVE-2026-54058" in run.out
    )
    assert "flash-attn 2.8.3+cu130, 2.8.3+rocm7.14: PYSEC-2026-90" in run.out
    assert f"  2.8.3+cu130 in {CUDA}\n" in run.out
    assert run.out.count("no fixed version is known") == 2
    assert "PYSEC-2026-91" not in run.out
    assert "2 known vulnerabilities in" in run.out
    assert f"3 advisories in {folder}, the newest of 2026-11-20" in run.out


def test_as_json_the_command_splits_into_its_words(private_world: PrivateWorld, folder: Path) -> None:
    private_world.locked(CPU)
    run = private_world.run("audit", CPU, "--advisories", folder, "--json")
    assert run.status == 1
    (finding,) = _list(run, "findings")
    assert finding["flavors"] == [CPU]
    words = ["factory", "bump", "pillow>=12.2.1", "--image", CPU, "--reason", "CVE-2026-54058"]
    assert [shlex.split(command) for command in _commands(finding)] == [words]
    source = run.data["source"]
    assert isinstance(source, dict)
    assert source["advisories"] == 3
    assert source["modified"] == "2026-11-20"
    age = (dt.datetime.now().astimezone().date() - dt.date(2026, 11, 20)).days
    assert source["age_days"] in {max(age, 0), max(age - 1, 0)}


def test_the_commands_do_what_they_say(private_world: PrivateWorld, tmp_path: Path) -> None:
    """Run as printed, once the private index has the fixed version: the finding is gone."""
    private_world.locked(CPU, CUDA)
    folder = write_advisories(
        tmp_path / "advisories",
        _PILLOW,
        advisory("PYSEC-2026-92", "torch", _START, {"fixed": "2.12.0"}),
    )
    for variant in ("cpu", "cuda130"):
        for machine in ("x86_64", "aarch64"):
            tag = f"cp312-cp312-manylinux_2_28_{machine}"
            make_wheel(private_world.indexes[variant].folder, "pillow", "12.2.1", tag=tag)
    found = _list(private_world.run("audit", "--advisories", folder, "--json"), "findings")
    commands = [shlex.split(command) for finding in found for command in _commands(finding)]
    assert [words[1] for words in commands] == ["bump", "new-flavor", "new-flavor"]
    for words in commands:
        run = private_world.run(*words[1:])
        assert run.status == 0, run.err
    again = _list(private_world.run("audit", CPU, CUDA, "--advisories", folder, "--json"), "findings")
    assert {finding["package"] for finding in again} == {"torch"}
    assert require_lock(private_world.folder(CUDA)).versions()["pillow"] == "12.2.1"
    assert "CVE-2026-54058" in (private_world.folder(CPU) / "pyproject.toml").read_text()
    for name in (CPU, CUDA):
        made = private_world.flavor(name.replace("torch2110", "torch2120"))
        assert made.project.spec.torch == "2.12.0"
    assert private_world.public.requests == []


def test_nothing_known_is_a_pass_that_says_against_what(private_world: PrivateWorld, tmp_path: Path) -> None:
    private_world.locked(CPU)
    folder = write_advisories(tmp_path / "advisories", _HARMLESS)
    run = private_world.run("audit", CPU, "--advisories", folder)
    assert run.status == 0
    assert "no known vulnerabilities in" in run.out
    assert "1 advisory in" in run.out


def test_the_folder_may_be_named_by_the_environment(
    private_world: PrivateWorld, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_world.locked(CPU)
    monkeypatch.setenv("FACTORY_ADVISORIES", str(folder))
    assert private_world.run("audit", CPU).status == 1
    assert private_world.run("audit", CPU, "--osv-url", "http://127.0.0.1:1/").status == 2


@pytest.mark.parametrize("finding", ["CVE-2026-54058", "ghsa-pppp-2222-3333", "PYSEC-2026-88"])
@pytest.mark.parametrize("package", [None, "Pillow"])
def test_a_waiver_for_any_of_the_ids_holds(
    private_world: PrivateWorld, folder: Path, finding: str, package: str | None
) -> None:
    private_world.locked(CPU)
    _waive(private_world, CPU, finding, days=0, package=package)
    run = private_world.run("audit", CPU, "--advisories", folder)
    assert run.status == 0, run.out
    assert f"waived in {CPU} until" in run.out
    assert "not reached" in run.out
    assert "no known vulnerabilities, 1 waived" in run.out


@pytest.mark.parametrize(
    ("finding", "package", "days"),
    [("CVE-2026-54058", "numpy", 9), ("CVE-2026-54058", None, -1), ("CVE-2026-5405", None, 9)],
    ids=["of another package", "expired", "of another advisory"],
)
def test_no_other_waiver_does(
    private_world: PrivateWorld, folder: Path, finding: str, package: str | None, days: int
) -> None:
    private_world.locked(CPU)
    _waive(private_world, CPU, finding, days=days, package=package)
    run = private_world.run("audit", CPU, "--advisories", folder)
    assert run.status == 1
    assert (f"its waiver in {CPU} expired on" in run.out) == (days < 0)
    # What it is about is nothing here, and somebody has to be told: it may be an id that was mistyped.
    assert (f"the waiver of {finding}" in run.out) == (days > 0)


@pytest.mark.parametrize("finding", ["FAC206", "drift"])
def test_a_waiver_of_what_is_no_advisory_is_no_matter_of_the_audit(
    private_world: PrivateWorld, folder: Path, finding: str
) -> None:
    private_world.locked(CPU)
    _waive(private_world, CPU, finding, days=9)
    assert "covers nothing" not in private_world.run("audit", CPU, "--advisories", folder).out


def test_one_command_is_rid_of_all_that_a_package_has_in_all_flavors(
    private_world: PrivateWorld, tmp_path: Path
) -> None:
    private_world.locked(CPU, ROCM)
    rocm = private_world.folder(ROCM) / "requirements.txt"
    edit_lock(rocm, "12.2.0", "12.1.0")
    folder = write_advisories(
        tmp_path / "advisories",
        advisory("CVE-2026-1", "pillow", _START, {"fixed": "12.2.1"}),
        advisory("CVE-2026-2", "pillow", _START, {"fixed": "12.3.0+x"}),
    )
    run = private_world.run("audit", CPU, ROCM, "--advisories", folder)
    assert "pillow 12.1.0, 12.2.0: CVE-2026-1\n" in run.out
    assert f"  12.1.0 in {ROCM}\n    fixed in 12.2.1\n  12.2.0 in {CPU}\n" in run.out
    (command,) = (line for line in run.out.splitlines() if "fix: " in line)
    assert command.split("fix: ")[1] == (
        f"factory bump 'pillow>=12.3.0' --image {CPU} --image {ROCM} --reason 'CVE-2026-1, CVE-2026-2'"
    )


def test_every_flavor_may_be_asked_for_by_all(private_world: PrivateWorld, folder: Path) -> None:
    private_world.locked(CPU)
    assert private_world.run("audit", "--all", "--advisories", folder).status == 1
    assert private_world.run("audit", "--all", CPU, "--advisories", folder).status == 2


def test_a_waiver_of_one_flavor_is_none_for_another(private_world: PrivateWorld, folder: Path) -> None:
    private_world.locked(CPU, ROCM)
    _waive(private_world, CPU, "CVE-2026-54058", days=9)
    run = private_world.run("audit", CPU, ROCM, "--advisories", folder, "--json")
    (pillow,) = (finding for finding in _list(run, "findings") if finding["package"] == "pillow")
    assert pillow["flavors"] == [ROCM]
    assert CPU not in _commands(pillow)[0]
    assert [waived["flavor"] for waived in _list(run, "waived")] == [CPU]


def test_a_flavor_that_is_not_locked_is_an_error_by_name_and_told_otherwise(
    private_world: PrivateWorld, folder: Path
) -> None:
    run = private_world.run("audit", "--advisories", folder)
    assert run.status == LockFileError.exit_code
    private_world.locked(CPU)
    run = private_world.run("audit", "--advisories", folder)
    assert run.status == 1
    assert f"not locked, so not audited: {CUDA}, {ROCM}" in run.out
    run = private_world.run("audit", CPU, CUDA, "--advisories", folder)
    assert run.status == LockFileError.exit_code
    assert f"factory lock {CUDA}" in run.err


@pytest.mark.parametrize("line", ["pillow>=1", "-r more.txt", "trl @ git+https://git.example.com/trl", "?"])
def test_what_is_no_exact_pin_is_refused_since_it_would_be_passed_over(
    private_world: PrivateWorld, folder: Path, line: str
) -> None:
    private_world.locked(CPU)
    lock = private_world.folder(CPU) / "requirements.txt"
    lock.write_text(f"{lock.read_text()}{line}\n")
    run = private_world.run("audit", CPU, "--advisories", folder)
    assert run.status == LockFileError.exit_code
    assert line in run.err


def test_a_damaged_database_is_an_error_and_no_pass(private_world: PrivateWorld, folder: Path) -> None:
    private_world.locked(CPU)
    (folder / "PYS" / "PYSEC-2026-99.json").write_text('{"id": "PYSEC-2026-99"')
    run = private_world.run("audit", CPU, "--advisories", folder)
    assert run.status == AdvisoryError.exit_code
    assert "PYSEC-2026-99.json is damaged" in run.err
    empty = private_world.elsewhere / "empty"
    empty.mkdir()
    assert private_world.run("audit", CPU, "--advisories", empty).status == AdvisoryError.exit_code


def test_words_of_an_advisory_are_no_words_of_a_shell(private_world: PrivateWorld, tmp_path: Path) -> None:
    private_world.locked(CPU)
    evil = advisory("CVE-1; touch x", "pillow", _START, {"fixed": "12.2.1"})
    (tmp_path / "advisories").mkdir()
    (tmp_path / "advisories" / "evil.json").write_text(json.dumps(evil))
    run = private_world.run("audit", CPU, "--advisories", tmp_path / "advisories", "--json")
    (finding,) = _list(run, "findings")
    assert shlex.split(_commands(finding)[0])[-1] == "CVE-1; touch x"


def test_of_what_a_service_tells_one_command_is_rid_of_all(private_world: PrivateWorld) -> None:
    private_world.locked(CPU)
    more = advisory("CVE-2026-9", "pillow", _START, {"fixed": "12.4.0"})
    with osv_server({("pillow", "12.2.0"): [_PILLOW, more]}) as service:
        found = _list(private_world.run("audit", CPU, "--osv-url", service.url, "--json"), "findings")
    assert [finding["affected"] for finding in found] == [
        [{"version": "12.2.0", "flavors": [CPU], "fixed": fixed}]
        for fixed in (["12.2.1", "12.3.1"], ["12.4.0"])
    ]
    words = ["factory", "bump", "pillow>=12.4.0", "--image", CPU, "--reason", "CVE-2026-54058, CVE-2026-9"]
    assert [shlex.split(_commands(finding)[0]) for finding in found] == [words, words]


def test_a_service_is_asked_with_pip_audit(private_world: PrivateWorld) -> None:
    private_world.locked()
    rocm = private_world.folder(ROCM) / "requirements.txt"
    edit_lock(rocm, "12.2.0", "12.1.0")
    with osv_server({("pillow", "12.2.0"): [_PILLOW], ("flash-attn", "2.8.3"): [_FLASH]}) as service:
        run = private_world.run("audit", "--osv-url", service.url, "--json")
    assert run.status == 1
    found = {(finding["package"], *_versions(finding)) for finding in _list(run, "findings")}
    assert found == {("pillow", "12.2.0"), ("flash-attn", "2.8.3+cu130", "2.8.3+rocm7.14")}
    (pillow,) = (finding for finding in _list(run, "findings") if finding["package"] == "pillow")
    assert pillow["ids"] == ["CVE-2026-54058", "GHSA-pppp-2222-3333", "PYSEC-2026-88"]
    assert pillow["flavors"] == [CPU, CUDA]
    assert "pillow>=12.2.1" in _commands(pillow)[0]
    # Both versions of pillow were asked about, and local versions by what is public of them.
    assert {("pillow", "12.1.0"), ("torch", "2.11.0"), ("aipcc-kernels", "1.2.0")} <= set(service.asked)
    assert not [version for _, version in service.asked if "+" in version]
    assert all(server.requests == [] for server in private_world.servers)


@pytest.mark.parametrize("answer", [(500, b""), (200, b"<html>"), (200, b'{"vulns": 7}'), None])
def test_a_service_that_fails_is_an_error_and_no_pass(
    private_world: PrivateWorld, answer: tuple[int, bytes] | None
) -> None:
    private_world.locked(CPU)
    with osv_server({}) as service:
        service.answer = answer
        url = service.url if answer else "http://127.0.0.1:1/v1/query"
        run = private_world.run("audit", CPU, "--osv-url", url)
    assert run.status == AdvisoryError.exit_code
    assert "pip-audit failed" in run.err
    assert "--advisories" in run.err
    assert run.out == ""


def test_without_pip_audit_the_folder_is_named(
    private_world: PrivateWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_world.locked(CPU)
    monkeypatch.setitem(sys.modules, "pip_audit", None)  # Python's own way to say that there is none
    run = private_world.run("audit", CPU)
    assert run.status == AdvisoryError.exit_code
    assert "universal-image-factory[audit]" in run.err
    assert "--advisories" in run.err
