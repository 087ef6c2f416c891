"""A flavor of two indexes on its way to a build: each artifact from its own index, all files taken along."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.index_server import IndexServer
from support.wheels import make_wheel, sha256
from support.workshop import Run, Workshop

from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE
from factory.prefetch.layout import Layout

pytestmark = pytest.mark.integration

_EXTRA_FILE = "requirements-extra.txt"
_PREFETCH = 20


@dataclass(frozen=True)
class Place:
    """A locked and rendered flavor, its two indexes, and a folder to prefetch to."""

    workshop: Workshop
    folder: Path
    extra: IndexServer
    output: Path

    @property
    def artifacts(self) -> dict[str, str]:
        return {path.name: sha256(path) for path in Layout(self.output).artifacts.iterdir()}

    def prefetch(self, *arguments: str) -> Run:
        return self.workshop.run("prefetch", self.folder.name, "--output", str(self.output), *arguments)


@pytest.fixture
def place(workshop: Workshop, tmp_path: Path) -> Iterator[Place]:
    make_wheel(workshop.pushed, "app", "1.0", requires=["flash"])
    make_wheel(workshop.pushed, "flash", "99.0")
    make_wheel(tmp_path / "extra", "flash", "2.0")
    make_wheel(tmp_path / "extra", "app", "99.0")
    with IndexServer(folder=tmp_path / "extra") as extra:
        folder = workshop.flavor("app", indexes={"extra": (extra.url, ["flash"])})
        for words in (("sync", folder.name), ("lock", folder.name)):
            run = workshop.run(*words)
            assert run.status == 0, run.err
        workshop.index.requests.clear()
        extra.requests.clear()
        yield Place(workshop=workshop, folder=folder, extra=extra, output=tmp_path / "prefetched")


def _names(index: IndexServer) -> set[str]:
    return {request.path.strip("/").split("/")[1].partition("-")[0] for request in index.requests}


def test_each_artifact_comes_from_its_own_index(place: Place) -> None:
    run = place.prefetch()
    assert run.status == 0, run.err
    assert place.artifacts == {
        path.name: sha256(path)
        for path in (
            place.workshop.pushed / "app-1.0-py3-none-any.whl",
            place.extra.folder / "flash-2.0-py3-none-any.whl",
        )
    }
    assert _names(place.workshop.index) == {"app"}
    assert _names(place.extra) == {"flash"}
    bill = json.loads(Layout(place.output).sbom.read_text())
    urls = {component["name"]: component["purl"] for component in bill["components"]}
    for name, index in (("app", place.workshop.index), ("flash", place.extra)):
        port = index.root.rpartition(":")[2]
        assert port in urls[name]


def test_a_dry_run_tells_both_indexes(place: Place) -> None:
    run = place.prefetch("--dry-run")
    assert run.status == 0, run.err
    for index in (place.workshop.index, place.extra):
        assert index.root.removeprefix("http://") in run.out


def test_what_its_own_index_lacks_is_not_taken_from_the_other(place: Place) -> None:
    wheel = place.extra.folder / "flash-2.0-py3-none-any.whl"
    wheel.rename(place.workshop.pushed / wheel.name)
    run = place.prefetch()
    assert run.status == _PREFETCH
    assert "has no project flash" in run.err or "flash-2.0-py3-none-any.whl is not on" in run.err
    assert place.extra.url in run.err
    assert _names(place.workshop.index) <= {"app"}


def test_the_credentials_of_an_index_go_to_it_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.extra.credentials = ("them", "s3cret")
    monkeypatch.setenv("UV_INDEX_EXTRA_USERNAME", "them")
    monkeypatch.setenv("UV_INDEX_EXTRA_PASSWORD", "s3cret")
    run = place.prefetch()
    assert run.status == 0, run.err
    assert not [item for item in place.workshop.index.requests if "Authorization" in item.headers]


def test_a_package_in_the_file_of_another_index_is_refused_before_any_index_is_asked(place: Place) -> None:
    main, extra = (place.folder / name for name in (LOCK_FILE, _EXTRA_FILE))
    text = extra.read_text()
    entry = text[text.index("flash==") :]
    main.write_text(main.read_text() + entry)
    extra.write_text(text.removesuffix(entry))
    run = place.prefetch()
    assert run.status != 0
    assert not place.workshop.index.requests + place.extra.requests


def test_a_lock_of_which_a_file_is_gone_is_refused(place: Place) -> None:
    (place.folder / _EXTRA_FILE).unlink()
    for words in (
        ("prefetch", place.folder.name, "--output", str(place.output)),
        ("lock", "--verify", place.folder.name),
    ):
        run = place.workshop.run(*words)
        assert run.status == 16
        assert f"has no {_EXTRA_FILE}" in run.err


def test_the_downstream_context_holds_every_file_of_the_lock(place: Place, tmp_path: Path) -> None:
    run = place.workshop.run("strip", place.folder.name, "--output", str(tmp_path / "context"))
    assert run.status == 0, run.err
    for name in (LOCK_FILE, _EXTRA_FILE):
        assert (tmp_path / "context" / name).read_bytes() == (place.folder / name).read_bytes()


def test_each_layer_is_installed_by_one_call_where_prefetched_and_else_by_one_for_each_index(
    place: Place,
) -> None:
    text = (place.folder / "Dockerfile").read_text()
    layers = [layer.name for layer in Flavor(place.folder).project.spec.package_layers] + ["rest"]
    assert f"COPY --chmod=0644 {LOCK_FILE} {_EXTRA_FILE} sbom.cdx.jso[n] /usr/share/factory/\n" in text
    assert re.findall(r"package-layers.sh install /usr/share/factory/layers/(\S+)/", text) == layers
    script = (place.folder / "package-layers.sh").read_text()
    prefetched, from_indexes = re.findall(r"if \[ \$# -gt 0 \]; then(.*?)else(.*?)fi", script, re.DOTALL)[0]
    assert f"{LOCK_FILE} {_EXTRA_FILE}" in prefetched
    assert prefetched.count("install_packages") == 1
    assert re.findall(r"install_packages .* -r (\S+)", from_indexes) == [LOCK_FILE, _EXTRA_FILE]


def test_check_finds_nothing_wrong_but_that_torch_is_not_locked(place: Place) -> None:
    run = place.workshop.run("--json", "check", place.folder.name)
    errors = [item for item in json.loads(run.out)["findings"] if item["severity"] == "error"]
    # The wheels of this index are made up, and there is no torch and no Training Hub among them.
    assert {item["code"] for item in errors} == {"FAC324"}, run.out
