"""No command that reads a lock accepts an edit of it that check, or what is at hand, can see."""

import datetime as dt
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.advisories import advisory, write_advisories
from support.clean_flavor import INDEX, NAME, PROJECT, make_flavor, make_repository
from support.index_server import IndexServer
from support.lock_edits import FORMS, MEANINGS, Edit, lock_entry
from support.locks import resealed
from support.wheels import make_wheel

from factory.build.plan import require_buildable
from factory.check.check import check_flavor
from factory.check.rules import RULES
from factory.downstream.context import write_context
from factory.errors import FactoryError, LockFileError
from factory.flavor.repository import Flavor, Repository
from factory.gaps.gaps import explain_failure
from factory.lock.judgement import WARNINGS, require_sound_lock
from factory.lock.lockfile import LOCK_FILE
from factory.lock.locking import LockOptions, lock_flavor, lock_flavors
from factory.lock.rehash import rehash_flavors
from factory.lock.report import FailedFlavor
from factory.lock.verify import Verified, verify_flavors
from factory.prefetch.plan import Fetching
from factory.prefetch.prefetch import prefetch_flavor
from factory.process import Cancellation
from factory.sbom.collect import SbomSources
from factory.sbom.write import make_sbom
from factory.upkeep.audit import audit_flavors

pytestmark = pytest.mark.integration
TODAY = dt.date(2026, 12, 1)
_X86, _ARM = (f"cp312-cp312-manylinux_2_28_{machine}" for machine in ("x86_64", "aarch64"))
_WHEELS = {
    ("numpy", "2.4.1"): (_X86, _ARM),
    ("protobuf", "6.33.0"): ("py3-none-any",),
    ("torch", "2.11.0+cu130"): (_X86, _ARM),
    ("training-hub", "0.9.2"): ("py3-none-any",),
    ("urllib3", "2.6.2"): ("py3-none-any",),
}
# Nothing that the edit of one of these lines changes is read from the lock: it is a note for people.
HARMLESS: dict[str, tuple[Edit, str]] = {
    "other platforms in the head": (
        lambda text: text.replace("# platforms: linux/amd64, linux/arm64", "# platforms: linux/amd64"),
        "the platforms are those of the spec",
    ),
    "another command in the head": (
        lambda text: text.replace("`factory lock", "`factory lock --all", 1),
        "the first line names who wrote the lock",
    ),
    "a package that is said to come from a folder": (
        lambda text: text.replace("# contents:", "# not from the index: urllib3\n# contents:"),
        "its file has to have the same digest wherever it comes from, and check warns (FAC331)",
    ),
}
# What fits its own digest and the form: the metadata of the wheels has to be at hand to see it, or the index.
NEEDS_METADATA: dict[str, Edit] = {
    "a package less that another one requires": lambda text: text.replace(lock_entry(text, "urllib3"), ""),
}
OFFLINE = frozenset({"check", "sbom", "audit", "build", "strip"})


@dataclass(frozen=True)
class Place:
    """A locked and rendered flavor, its index, and where commands write."""

    flavor: Flavor
    text: str
    scratch: Path
    advisories: Path

    def accepted_by(self, text: str, *, but: str | None = None) -> set[str]:
        """The commands that do their work on a lock, ``but`` one that is not asked."""
        (self.flavor.folder / LOCK_FILE).write_bytes(text.encode())
        asked = {name: command for name, command in COMMANDS.items() if name != but}
        return {name for name, command in asked.items() if _accepts(command, self)}


def _accepts(command: Callable[[Place], bool], place: Place) -> bool:
    try:
        return command(place)
    except FactoryError:
        return False


def _check(place: Place) -> bool:
    found = check_flavor(place.flavor, root=place.flavor.folder.parents[1], today=TODAY)
    return not [item for item in found if item.severity == "error" and item.path.endswith(LOCK_FILE)]


def _prefetch(place: Place) -> bool:
    fetching = Fetching(timeout_seconds=1.0)
    return bool(prefetch_flavor(place.flavor, place.scratch / "prefetched", fetching=fetching))


def _verify(place: Place) -> bool:
    (found,) = verify_flavors([place.flavor], done=lambda _: None)
    return isinstance(found, Verified) and all(finding.warning for finding in found.findings)


def _rehash(place: Place) -> bool:
    """Whether an edit survives: a lock that is refused, or written again as it was, is not accepted."""
    path = place.flavor.folder / LOCK_FILE
    edited = path.read_bytes()
    (found,) = rehash_flavors([place.flavor], LockOptions(explain=explain_failure), done=lambda _: None)
    after = path.read_bytes()
    path.write_bytes(edited)
    return not isinstance(found, FailedFlavor) and after.decode() != place.text


def _sbom(place: Place) -> bool:
    return bool(make_sbom(place.flavor, SbomSources(), form="cyclonedx", environment={}))


def _audit(place: Place) -> bool:
    flavors, advisories = [place.flavor], place.advisories
    return bool(audit_flavors(flavors, named=True, advisories=advisories, url=None, today=TODAY))


def _build(place: Place) -> bool:
    require_buildable(place.flavor)
    return True


def _strip(place: Place) -> bool:
    return bool(write_context(place.flavor, place.scratch / "context"))


COMMANDS: dict[str, Callable[[Place], bool]] = {
    "check": _check,
    "prefetch": _prefetch,
    "verify": _verify,
    "rehash": _rehash,
    "sbom": _sbom,
    "audit": _audit,
    "build": _build,
    "strip": _strip,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("edits")
    for (name, version), tags in _WHEELS.items():
        requires = ["urllib3>=2", "protobuf"] if name == "training-hub" else []
        for tag in tags:
            make_wheel(root / "index", name, version, tag=tag, requires=requires)
    advisories = write_advisories(root / "advisories", advisory("CVE-2026-1", "no-such", {"introduced": "0"}))
    with pytest.MonkeyPatch.context() as patch, IndexServer(folder=root / "index") as index:
        for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
            patch.delenv(name)
        for name, value in {"UV_CACHE_DIR": "uv", "XDG_CACHE_HOME": "cache", "NETRC": "netrc"}.items():
            patch.setenv(name, str(root / value))
        flavor = make_flavor(
            make_repository(root / "r"), project=PROJECT.replace(INDEX, index.url), locked=False
        )
        locked = lock_flavor(flavor, LockOptions(explain=explain_failure), stop=Cancellation())
        assert locked.written
        text = (flavor.folder / LOCK_FILE).read_text()
        yield Place(flavor=Flavor(flavor.folder), text=text, scratch=root, advisories=advisories)


def test_the_lock_as_it_is_written_is_accepted_by_every_command(place: Place) -> None:
    assert place.flavor.name == NAME
    assert place.accepted_by(place.text) == COMMANDS.keys() - {"rehash"}
    (found,) = rehash_flavors([place.flavor], LockOptions(explain=explain_failure), done=lambda _: None)
    assert not isinstance(found, FailedFlavor)
    assert (found.resolved, found.written) == (False, False)


@pytest.mark.parametrize("edit", (FORMS | MEANINGS).values(), ids=FORMS | MEANINGS)
def test_no_command_accepts_an_edit_with_or_without_its_digest(place: Place, edit: Edit) -> None:
    text = edit(place.text)
    assert text != place.text
    found = {
        # Rehash resolves both, which takes as long as all others together.
        "as it is": place.accepted_by(text, but="rehash"),
        "with its digest": place.accepted_by(resealed(text)),
    }
    assert found == {"as it is": set(), "with its digest": set()}


@pytest.mark.parametrize("edit", NEEDS_METADATA.values(), ids=NEEDS_METADATA)
def test_what_has_metadata_at_hand_sees_what_no_digest_can_hide(place: Place, edit: Edit) -> None:
    text = edit(place.text)
    assert place.accepted_by(text) == set()
    assert place.accepted_by(resealed(text)) == OFFLINE


@pytest.mark.parametrize(("edit", "reason"), HARMLESS.values(), ids=HARMLESS)
def test_a_note_for_people_may_be_edited(place: Place, edit: Edit, reason: str) -> None:
    text = edit(place.text)
    assert text != place.text
    assert place.accepted_by(text) >= COMMANDS.keys() - {"rehash", "sbom"}, reason


def test_an_older_form_is_refused_with_the_command_that_writes_the_new_one(place: Place) -> None:
    older = resealed(place.text.replace("    --hash", "  --hash"))
    (place.flavor.folder / LOCK_FILE).write_text(older)
    with pytest.raises(LockFileError, match="an older one, or an edited one") as caught:
        require_buildable(place.flavor)
    assert f"factory lock {NAME}" in caught.value.solution


def test_what_check_calls_a_warning_is_no_refusal() -> None:
    assert {code for code in WARNINGS if RULES[code].severity == "warning"} == WARNINGS
    lock_rules = {code for code in RULES if "FAC302" <= code <= "FAC335"}
    assert {code for code in lock_rules if RULES[code].severity == "warning"} == WARNINGS


@pytest.fixture(scope="module")
def child(place: Place) -> Flavor:
    """The lock of a stack that holds what the flavor's does, on a flavor that has one package."""
    root = place.scratch / "with-a-child"
    for folder in ("flavors/below", "images/stack"):
        (root / folder).mkdir(parents=True)
    spec = (place.flavor.folder / "pyproject.toml").read_text()
    head, _, tail = spec.partition("[tool.factory]\n")
    packages = head.partition("dependencies = [")[2].partition("]\n\n[tool.uv]")
    below = spec.replace(packages[0], '"protobuf"').replace(
        "[tool.factory]\n", '[tool.factory]\nname = "below"\n'
    )
    (root / "flavors/below/pyproject.toml").write_text(below)
    missing = "[[tool.factory.missing]]" + tail.partition("[[tool.factory.missing]]")[2]
    (root / "images/stack/pyproject.toml").write_text(f"{head}[tool.factory]\n{missing}")
    (root / "factory.toml").write_text('[images.stack]\nkind = "stack"\nparent = "below"\n')
    images = Repository(root).images()
    locked = lock_flavors(
        images, LockOptions(explain=explain_failure), jobs=1, begun=lambda _: None, done=lambda _: None
    )
    assert not [item.error for item in locked if isinstance(item, FailedFlavor)]
    return images[1]


@pytest.mark.parametrize("edit", (FORMS | MEANINGS).values(), ids=FORMS | MEANINGS)
def test_the_lock_of_a_child_is_judged_as_a_flavors(child: Flavor, edit: Edit) -> None:
    path = child.folder / LOCK_FILE
    text = path.read_text()
    assert require_sound_lock(child).versions().keys() == {"numpy", "torch", "training-hub", "urllib3"}
    try:
        for edited in (edit(text), resealed(edit(text))):
            path.write_bytes(edited.encode())
            with pytest.raises(LockFileError):
                require_sound_lock(child)
    finally:
        path.write_text(text)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda text: text.replace("# parent: below sha256:", "# parent: below sha256:0"), "FAC337"),
        (lambda text: re.sub(r"(# parent: below sha256:)[0-9a-f]{64}", rf"\g<1>{'0' * 64}", text), "FAC337"),
        (lambda text: text.replace("# parent: below", "# parent: above"), "FAC337"),
        (lambda text: re.sub(r"# parent: [^\n]*\n", "", text), "FAC337"),
        (lambda text: resealed(text.replace("urllib3", "protobuf")), "FAC338"),
    ],
    ids=["a digest that is too long", "another digest", "another parent", "no parent", "what the parent has"],
)
def test_what_a_lock_says_of_its_parent_cannot_be_edited(child: Flavor, edit: Edit, code: str) -> None:
    path = child.folder / LOCK_FILE
    text = path.read_text()
    try:
        path.write_text(edit(text))
        with pytest.raises(LockFileError, match=code):
            require_sound_lock(child)
    finally:
        path.write_text(text)
