"""``factory sbom``: from a lock and its indexes, or its prefetched wheels, to the same bill each time."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.index_server import Fault, IndexServer
from support.locks import edit_lock, resealed
from support.small_flavors import write_lock
from support.wheels import make_wheel, sha256
from support.workshop import AMD, ARM, Run, Workshop

from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE
from factory.prefetch.layout import Layout
from factory.render.drift import SBOM_FILE

pytestmark = pytest.mark.integration

_X86, _AARCH64 = "cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_28_aarch64"
_CONTENT, _ACCESS, _SBOM, _LOCK, _NOT_FOUND = 26, 19, 30, 16, 13


@dataclass(frozen=True)
class Place:
    """A locked and rendered flavor of two platforms, with a further index and a folder of wheels."""

    workshop: Workshop
    folder: Path
    extra: IndexServer
    local: Path
    prefetched: Path

    def sbom(self, *arguments: str) -> Run:
        return self.workshop.run("sbom", self.folder.name, "--find-links", str(self.local), *arguments)

    def offline(self, *arguments: str) -> Run:
        return self.workshop.run("sbom", self.folder.name, "--prefetched", str(self.prefetched), *arguments)

    def prefetch(self) -> None:
        words = ("prefetch", self.folder.name, "--output", str(self.prefetched))
        run = self.workshop.run(*words, "--find-links", str(self.local))
        assert run.status == 0, run.err

    def forget(self) -> None:
        self.workshop.index.requests.clear()
        self.extra.requests.clear()


@pytest.fixture
def place(workshop: Workshop, tmp_path: Path) -> Iterator[Place]:
    make_wheel(workshop.pushed, "app", "1.0", requires=["flash", "own"], headers=["License-Expression: MIT"])
    for tag in (_X86, _AARCH64):
        make_wheel(workshop.pushed, "native", "2.0", tag=tag, headers=["License: BSD"])
    make_wheel(tmp_path / "extra", "flash", "2.0", headers=["License-Expression: Apache-2.0 OR MIT"])
    make_wheel(tmp_path / "local", "own", "3.0")
    with IndexServer(folder=tmp_path / "extra", metadata=True) as extra:
        indexes = {"extra": (extra.url, ["flash"])}
        folder = workshop.flavor("app", "native", platforms=(AMD, ARM), indexes=indexes)
        local = tmp_path / "local"
        place = Place(workshop, folder, extra, local, tmp_path / "prefetched")
        for words in (("sync", folder.name), ("lock", folder.name, "--find-links", str(local))):
            run = workshop.run(*words)
            assert run.status == 0, run.err
        place.forget()
        yield place


def _components(run: Run) -> dict[str, dict[str, Any]]:
    assert run.status == 0, run.err
    return {component["name"]: component for component in json.loads(run.out)["components"]}


def _files(component: dict[str, Any]) -> dict[str, str]:
    return {
        reference["url"].rpartition("#")[2]: reference["hashes"][0]["content"]
        for reference in component["externalReferences"]
    }


def test_every_file_of_the_lock_is_listed_with_where_it_is_from(place: Place) -> None:
    components = _components(place.sbom())
    wheels = [*place.workshop.pushed.iterdir(), *place.extra.folder.iterdir(), *place.local.iterdir()]
    listed = {name: digest for item in components.values() for name, digest in _files(item).items()}
    assert listed == {path.name: sha256(path) for path in wheels}
    assert {name: item["purl"].partition("?")[2] for name, item in components.items()} == {
        "app": f"repository_url={place.workshop.index.url}",
        "native": f"repository_url={place.workshop.index.url}",
        "own": f"checksum=sha256:{sha256(place.local / 'own-3.0-py3-none-any.whl')}",
        "flash": f"repository_url={place.extra.url}",
    }
    assert len(_files(components["native"])) == 2
    assert components["app"]["licenses"][0]["license"]["id"] == "MIT"
    assert components["flash"]["licenses"][0]["expression"] == "Apache-2.0 OR MIT"
    assert components["native"]["licenses"][0]["license"]["name"] == "BSD"
    assert "licenses" not in components["own"]
    assert [name for name, item in components.items() if "properties" in item] == ["own"]


def test_each_index_is_asked_for_its_own_packages_alone(place: Place) -> None:
    assert place.sbom().status == 0
    asked = {
        request.path.split("/")[2] for request in place.workshop.index.requests if "/simple/" in request.path
    }
    assert asked == {"app", "native"}
    assert {request.path.split("/")[2] for request in place.extra.requests if "/simple/" in request.path} == {
        "flash"
    }


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
def test_the_bytes_are_the_same_again_and_from_wheels_and_as_json(
    place: Place, form: str, tmp_path: Path
) -> None:
    first = place.sbom("--format", form)
    assert first.status == 0, first.err
    assert place.sbom("--format", form).out == first.out
    place.prefetch()
    place.forget()
    assert place.offline("--format", form).out == first.out
    assert not place.workshop.index.requests
    assert not place.extra.requests
    assert place.sbom("--format", form, "--json").out == first.out
    assert place.sbom("--format", form, "--output", str(tmp_path / "bill.json")).status == 0
    assert (tmp_path / "bill.json").read_text() == first.out


def test_another_way_of_serving_the_same_files_gives_the_same_bytes(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = place.sbom().out
    place.workshop.index.metadata, place.workshop.index.ranges = True, False
    place.workshop.index.json_pages = place.workshop.index.hashes = False
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-cache"))
    again = place.sbom()
    assert again.status == 0, again.err
    assert again.out == first


def test_the_folder_that_a_prefetch_wrote_is_where_it_is_looked_for(place: Place) -> None:
    place.prefetch()
    layout = Layout(place.prefetched)
    for folder in (layout.root, layout.output):
        run = place.workshop.run("sbom", place.folder.name, "--prefetched", str(folder))
        assert run.status == 0, run.err


def test_a_folder_that_no_prefetch_wrote_is_refused(place: Place) -> None:
    run = place.workshop.run("sbom", place.folder.name, "--prefetched", str(place.local))
    assert run.status == _NOT_FOUND
    assert "factory prefetch FLAVOR --output DIR" in run.err


def test_a_prefetched_wheel_with_other_bytes_is_refused(place: Place) -> None:
    place.prefetch()
    wheel = Layout(place.prefetched).artifacts / "app-1.0-py3-none-any.whl"
    right = sha256(wheel)
    wheel.unlink()  # a link to the file of the index, maybe
    wheel.write_bytes(b"another wheel")
    run = place.offline()
    assert run.status == _SBOM
    assert f"{wheel} has sha256:{sha256(wheel)}, and the lock says sha256:{right}" in run.err


def test_every_wheel_that_is_not_there_is_named_at_once(place: Place) -> None:
    place.prefetch()
    gone = ["app-1.0-py3-none-any.whl", "own-3.0-py3-none-any.whl"]
    for name in gone:
        (Layout(place.prefetched).artifacts / name).unlink()
    run = place.offline()
    assert run.status == _SBOM
    assert all(f"\n  - {name}" in run.err for name in gone)
    assert f"factory prefetch {place.folder.name}" in run.err
    assert run.out == ""


def test_a_package_of_a_folder_needs_that_folder(place: Place) -> None:
    run = place.workshop.run("sbom", place.folder.name)
    assert run.status == _SBOM
    assert "own-3.0-py3-none-any.whl" in run.err
    assert "--find-links" in run.err


def test_a_wheel_whose_metadata_is_anothers_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.flavor("app", index_url="http://127.0.0.1:9/simple/")
    evil = make_wheel(tmp_path / "local", "evil", "1.0")
    lying = evil.rename(evil.with_name("app-1.0-py3-none-any.whl"))
    write_lock(Flavor(folder), [lying], index_url="http://127.0.0.1:9/simple/", with_names=False)
    run = workshop.run("sbom", folder.name, "--find-links", str(tmp_path / "local"))
    assert run.status == _CONTENT
    assert "app-1.0-py3-none-any.whl holds the metadata of evil 1.0" in run.err


def test_metadata_of_an_index_that_is_anothers_is_refused(place: Place) -> None:
    place.extra.told_metadata["flash-2.0-py3-none-any.whl"] = (
        b"Metadata-Version: 2.2\nName: evil\nVersion: 2.0\n"
    )
    run = place.sbom()
    assert run.status == _CONTENT
    assert "holds the metadata of evil 2.0" in run.err


def test_a_lock_that_names_no_files_gets_their_names_from_the_digests(place: Place) -> None:
    expected = _components(place.sbom())
    for lock in place.folder.glob("requirements*.txt"):
        lines = lock.read_text().splitlines(keepends=True)
        lock.write_text(resealed("".join(line for line in lines if not line.startswith("    # "))))
    assert _components(place.sbom()) == expected
    place.prefetch()
    assert _components(place.offline()) == expected


def test_an_index_that_was_pushed_again_is_told(place: Place) -> None:
    make_wheel(place.workshop.pushed, "app", "1.0", salt="again", headers=["License-Expression: ISC"])
    run = place.sbom()
    assert run.status == _SBOM
    assert "the index was pushed again" in run.err
    assert "factory rehash" in run.err


def test_an_index_without_digests_has_its_bytes_looked_at(place: Place) -> None:
    place.workshop.index.hashes = False
    make_wheel(place.workshop.pushed, "app", "1.0", salt="again", headers=["License-Expression: ISC"])
    run = place.sbom()
    assert run.status == _CONTENT
    assert "and the lock says sha256:" in run.err


def test_what_is_not_on_the_index_any_more_is_told(place: Place) -> None:
    (place.workshop.pushed / "app-1.0-py3-none-any.whl").unlink()
    run = place.sbom()
    assert run.status == _SBOM
    assert "\n  - app-1.0-py3-none-any.whl" in run.err


@pytest.mark.parametrize("path", ["/simple/flash/", "/files/flash-2.0-py3-none-any.whl.metadata"])
def test_an_index_that_fails_gives_no_bill(
    place: Place, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What `factory lock` has read is kept, and would not be asked for.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    before = place.sbom("--write")
    assert before.status == 0, before.err
    assert path in {request.path for request in place.extra.requests}
    written = (place.folder / SBOM_FILE).read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    place.extra.fault(path, Fault(status=403))
    output = tmp_path / "bill.json"
    for words in (("--output", str(output)), ("--write",)):
        assert place.sbom(*words).status == _ACCESS
    assert not output.exists()
    assert (place.folder / SBOM_FILE).read_bytes() == written


def test_credentials_are_used_and_not_written(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place.workshop.index.credentials = ("someone", "se-cret")
    assert place.sbom().status == _ACCESS
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password se-cret\n")
    for form in ("cyclonedx", "spdx"):
        run = place.sbom("--format", form)
        assert run.status == 0, run.err
        assert "se-cret" not in run.out + run.err
        assert "someone" not in run.out


def test_a_flavor_that_is_not_locked_has_no_bill(workshop: Workshop) -> None:
    folder = workshop.flavor("app")
    run = workshop.run("sbom", folder.name)
    assert run.status == _LOCK
    assert f"factory lock {folder.name}" in run.err


def test_a_flavor_that_is_not_locked_keeps_no_other_from_its_bill(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "app", "1.0")
    unlocked = workshop.flavor("app", name="th08-cpu-torch2110-py312")
    folder = workshop.flavor("app")
    workshop.locked(folder)
    run = workshop.run("sbom", "--all", "--write", "--json")
    assert run.status == _LOCK
    assert f"factory lock {unlocked.name}" in run.err
    report = json.loads(run.out)
    assert [item["flavor"] for item in report["flavors"]] == [folder.name]
    assert list(report["errors"]) == [unlocked.name]
    assert (folder / SBOM_FILE).is_file()
    assert not (unlocked / SBOM_FILE).exists()


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (("app==1.0", "app>=1.0"), "app>=1.0 is not pinned"),
        (("# app-1.0", "# other-1.0"), "other-1.0-py3-none-any.whl fits no platform of the flavor"),
        (("# app-1.0", "# ../app-1.0"), "../app-1.0-py3-none-any.whl fits no platform of the flavor"),
        (("--hash=sha256:", "--hash=sha256:0"), "a hash of app==1.0 has 65 digits, not 64"),
    ],
)
def test_a_lock_that_does_not_say_what_it_installs_has_no_bill(
    workshop: Workshop, edit: tuple[str, str], says: str
) -> None:
    make_wheel(workshop.pushed, "app", "1.0")
    folder = workshop.flavor("app")
    workshop.locked(folder)
    edit_lock(folder / LOCK_FILE, *edit, count=1)
    run = workshop.run("sbom", folder.name)
    assert run.status == _SBOM
    assert says in run.err


def test_without_its_library_spdx_names_the_extra(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spdx_tools", None)  # Python's own way to say that there is none
    run = place.sbom("--format", "spdx")
    assert (run.status, run.out) == (_SBOM, "")
    assert "pip install 'universal-image-factory[spdx]'" in run.err
    assert place.sbom().status == 0


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--all",),
        ("{0}", "{0}"),
        ("{0}", "--all", "--write"),
        ("{0}", "--write", "--output", "bill.json"),
        ("{0}", "--write", "--format", "spdx"),
        ("{0}", "--attach-to", "x", "--format", "spdx"),
        ("{0}", "--plain-http"),
        ("{0}", "--write", "--tls-verify", "false"),
        ("{0}", "--tls-verify", "true"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(workshop: Workshop, words: tuple[str, ...]) -> None:
    folder = workshop.flavor("app")
    assert workshop.run("sbom", *(word.format(folder.name) for word in words)).status == 2
