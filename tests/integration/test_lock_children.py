"""``factory lock`` of images on images: what the parents have counts as given."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.wheels import make_wheel, sha256
from support.workshop import GAP, Run, Workshop, hashes

from factory.check.check import check_flavors
from factory.clock import today
from factory.errors import LockFileError, NotFoundError, ReplacesParentError, SpecError
from factory.flavor.repository import Repository
from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration
FLAVOR, STACK, TRAINER = "th09-cpu-torch2110-py312", "llm-stack", "tuner"


@pytest.fixture
def chain(workshop: Workshop) -> Workshop:
    """A flavor with base 1.0 and its helper 1.0, an index with newer ones, and packages that need them."""
    for version in ("1.0", "2.0"):
        make_wheel(workshop.pushed, "base", version, requires=["helper"])
        make_wheel(workshop.pushed, "helper", version)
    make_wheel(workshop.pushed, "adds", "1.0", requires=["base", "own"])
    make_wheel(workshop.pushed, "own", "1.0")
    make_wheel(workshop.pushed, "newer", "1.0", requires=["base>=2"])
    workshop.flavor("base<2", "helper<2", name=FLAVOR)
    return workshop


def findings(workshop: Workshop, *codes: str) -> list[tuple[str, str]]:
    images = Repository(workshop.root).images()
    report = check_flavors(images, root=workshop.root, today=today(), others=images)
    return [(item.flavor, item.code) for item in report.findings if item.code in codes]


def failed(run: Run) -> dict[str, object]:
    error = run.data["error"]
    assert isinstance(error, dict)
    return error


def test_a_childs_lock_leaves_out_what_its_parents_have(chain: Workshop) -> None:
    stack = chain.child("adds", name=STACK, parent=FLAVOR)
    trainer = chain.child("own", "base", "extra", name=TRAINER, parent=STACK, kind="trainer")
    extra = make_wheel(chain.pushed, "extra", "1.0", requires=["own", "helper"])
    run = chain.lock("--all")
    assert run.status == 0, run.err
    assert require_lock(stack).versions() == {"adds": "1.0", "own": "1.0"}
    lock = require_lock(trainer)
    assert lock.versions() == {"extra": "1.0"}
    assert hashes(lock, "extra") == {sha256(extra)}
    assert lock.index_urls == (chain.index.url,)
    assert lock.parent is not None
    assert lock.parent.startswith(f"{STACK} sha256:")
    assert findings(chain, "FAC321", "FAC322", "FAC323", "FAC337", "FAC338", "FAC309") == []
    # Of adds and extra; what a parent has keeps its version without a cap.
    assert findings(chain, "FAC217") == [(STACK, "FAC217"), (TRAINER, "FAC217")]
    assert chain.lock("--all", "--check").status == 0
    assert chain.lock("--all", "--verify").status == 0
    assert chain.run("rehash", "--all").status == 0


@pytest.mark.parametrize("order", [(FLAVOR, STACK, TRAINER), (TRAINER, STACK, FLAVOR)])
def test_children_are_locked_after_their_parents_in_whatever_order_they_are_named(
    chain: Workshop, order: Sequence[str]
) -> None:
    chain.child("adds", name=STACK, parent=FLAVOR)
    chain.child("own", name=TRAINER, parent=STACK, kind="trainer")
    run = chain.lock(*order)
    assert run.status == 0, run.err


def test_a_dry_run_of_a_chain_resolves_children_against_locks_that_are_not_written(chain: Workshop) -> None:
    stack = chain.child("adds", name=STACK, parent=FLAVOR)
    run = chain.lock("--all", "--dry-run")
    assert run.status == 0, run.err
    assert not (stack / "requirements.txt").exists()


def test_a_child_of_an_unlocked_parent_says_so(chain: Workshop) -> None:
    chain.child("adds", name=STACK, parent=FLAVOR)
    run = chain.lock(STACK)
    assert run.status == LockFileError.exit_code
    assert f"`factory lock {FLAVOR}`" in run.err


def test_a_parent_that_cannot_be_locked_stops_its_children(chain: Workshop) -> None:
    chain.flavor("nowhere", name=FLAVOR)
    stack = chain.child("adds", name=STACK, parent=FLAVOR)
    run = chain.lock("--all")
    assert run.status == GAP
    assert f"its parent {FLAVOR} could not be locked" in run.err
    assert not (stack / "requirements.txt").exists()


def test_another_version_than_the_parents_is_refused_in_words(chain: Workshop) -> None:
    chain.locked(chain.root / "flavors" / FLAVOR)
    stack = chain.child("newer", name=STACK, parent=FLAVOR)
    run = chain.lock(STACK, "--json")
    assert run.status == ReplacesParentError.exit_code
    said = str(failed(run)["reason"])
    assert f"base: {FLAVOR} has 1.0, wanted is 2.0, for newer" in said
    assert "helper" not in said
    assert "--allow-replacing" in str(failed(run)["solution"])
    assert not (stack / "requirements.txt").exists()
    assert "replaces" not in (stack / "pyproject.toml").read_text()


def test_what_is_allowed_to_be_replaced_is_recorded_and_accepted(chain: Workshop) -> None:
    chain.locked(chain.root / "flavors" / FLAVOR)
    stack = chain.child("newer", name=STACK, parent=FLAVOR)
    run = chain.lock(STACK, "--allow-replacing")
    assert run.status == 0, run.err
    assert f"replaces base: {FLAVOR} has 1.0, wanted is 2.0, for newer" in run.err
    assert require_lock(stack).versions() == {"base": "2.0", "newer": "1.0"}
    assert 'replaces = ["base"]' in (stack / "pyproject.toml").read_text().replace("\n    ", "").replace(
        ",\n]", "]"
    )
    assert findings(chain, "FAC321", "FAC322", "FAC323", "FAC337", "FAC338") == []
    written = (stack / "requirements.txt").read_bytes()
    again = chain.lock(STACK)
    assert again.status == 0, again.err
    assert (stack / "requirements.txt").read_bytes() == written
    text = (stack / "pyproject.toml").read_text()
    (stack / "pyproject.toml").write_text(
        text[: text.index("replaces")] + text[text.index("]", text.index("replaces")) + 1 :]
    )
    assert (STACK, "FAC338") in findings(chain, "FAC338")


def test_a_parent_without_a_lock_is_the_one_problem_of_its_children(chain: Workshop) -> None:
    chain.child("adds", "base", name=STACK, parent=FLAVOR)
    assert chain.lock("--all").status == 0
    (chain.root / "flavors" / FLAVOR / "requirements.txt").unlink()
    assert findings(chain, "FAC301", "FAC321", "FAC322", "FAC337") == [(FLAVOR, "FAC301"), (STACK, "FAC337")]
    run = chain.run("check", STACK)
    assert f"Run `factory lock {FLAVOR}` first. Then: `factory lock {STACK}`." in run.out
    plan = chain.run("plan").out
    assert f"parent {FLAVOR} cannot be built yet" in plan
    assert "stale" not in plan


def test_a_parent_that_moves_makes_its_children_stale(chain: Workshop) -> None:
    stack = chain.child("adds", name=STACK, parent=FLAVOR)
    chain.child("own", name=TRAINER, parent=STACK, kind="trainer")
    assert chain.lock("--all").status == 0
    make_wheel(chain.pushed, "helper", "1.1")
    assert chain.lock(FLAVOR, "--upgrade").status == 0
    assert findings(chain, "FAC321", "FAC337") == [(STACK, "FAC337"), (TRAINER, "FAC337")]
    check = chain.lock(STACK, "--check")
    assert check.status == 1
    assert "was made against other packages of its parent" in check.out
    states = {item["name"]: item["lock"] for item in json.loads(chain.run("list", "--json").out)}
    assert states == {FLAVOR: "locked", STACK: "stale", TRAINER: "stale"}
    assert chain.run("rehash", STACK).status == LockFileError.exit_code
    assert chain.lock(TRAINER).status == LockFileError.exit_code  # its parent is stale
    assert chain.lock(STACK, TRAINER).status == 0
    assert findings(chain, "FAC321", "FAC337") == []
    assert require_lock(stack).versions() == {"adds": "1.0", "own": "1.0"}


def test_a_child_on_an_external_parent_needs_its_python_and_is_locked_whole(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["torch>=2"])
    (workshop.root / "flavors").mkdir(exist_ok=True)
    stack = workshop.child("aa", name=STACK, parent="quay.io/x/b:1")
    run = workshop.lock(STACK)
    assert run.status == SpecError.exit_code
    assert "python" in run.err
    workshop.child(
        "aa",
        name=STACK,
        parent="quay.io/x/b:1",
        settings=f'python = "3.12"\nindex-url = "{workshop.index.url}"\nprovides = ["torch==2.11.0"]\n',
    )
    assert workshop.locked(stack).versions() == {"aa": "1.0"}
    assert workshop.lock(STACK, "--verify").status == 0
    make_wheel(workshop.pushed, "torch", "2.12.0")
    gaps = workshop.run("index-gaps", STACK, "--json").data["flavors"]
    assert isinstance(gaps, list)
    # What the parent provides is no package that the spec records as missing.
    assert (gaps[0]["state"], gaps[0]["recorded"]) == ("complete", [])


def test_everything_from_the_parent_makes_an_empty_lock(chain: Workshop) -> None:
    stack = chain.child("base", name=STACK, parent=FLAVOR)
    run = chain.lock("--all")
    assert run.status == 0
    assert f"{STACK}: locked, nothing to install: its parents have all that it asks for" in run.out
    assert require_lock(stack).versions() == {}
    assert chain.lock(STACK, "--check").status == 0


def test_packages_are_the_subject_of_an_image_that_has_some(chain: Workshop) -> None:
    folder = chain.child(name="job", parent=FLAVOR, kind="launcher")
    (folder / "pyproject.toml").unlink()
    run = chain.lock("job")
    assert run.status == NotFoundError.exit_code
    assert "job installs no packages: the launcher has no pyproject.toml" in run.err
    assert chain.lock("--all").status == 0
    rows = json.loads(chain.run("list", "--json").out)
    assert [(row["name"], row["kind"], row["lock"]) for row in rows] == [
        (FLAVOR, "flavor", "locked"),
        ("job", "launcher", "no packages"),
    ]


def test_an_edited_lock_of_a_child_is_refused(chain: Workshop, tmp_path: Path) -> None:
    stack = chain.child("adds", name=STACK, parent=FLAVOR)
    assert chain.lock("--all").status == 0
    path = stack / "requirements.txt"
    text = path.read_text()
    path.write_text(text.replace("own==1.0", "own==1.1"))
    assert (STACK, "FAC309") in findings(chain, "FAC309")
    assert chain.run("prefetch", STACK, str(tmp_path / "out")).status != 0


def test_plan_and_status_know_that_a_child_is_stale_and_build_refuses_it(chain: Workshop) -> None:
    folder = chain.child("adds", name=STACK, parent=FLAVOR)
    assert chain.run("sync", STACK).status == 0
    (chain.root / "flavors" / FLAVOR / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")

    def said(*arguments: str) -> str:
        run = chain.run(*arguments)
        return run.out + run.err

    assert f"not locked: run `factory lock {STACK}`" in said("plan", "--offline", "--json")
    assert chain.lock("--all").status == 0
    assert "stale" not in said("plan", "--offline", "--json")
    make_wheel(chain.pushed, "helper", "1.1")
    assert chain.lock(FLAVOR, "--upgrade").status == 0
    stale = f"its lock is stale, the packages of its parent {FLAVOR} have changed since the lock was made"
    assert stale in said("plan", "--offline", "--json")
    assert stale in said("plan", "--offline", str(folder))
    states = {
        item["name"]: item["lock"]
        for item in json.loads(chain.run("status", "--offline", "--json").out)["images"]
    }
    assert states == {FLAVOR: "locked", STACK: "stale"}


def test_a_parents_package_that_does_not_go_with_what_is_replaced_is_said(chain: Workshop) -> None:
    make_wheel(chain.pushed, "strict", "1.0", requires=["base<2"])
    chain.flavor("base<2", "helper<2", "strict", name=FLAVOR)
    stack = chain.child("newer", name=STACK, parent=FLAVOR)
    run = chain.lock(FLAVOR, STACK, "--allow-replacing")
    assert run.status == 0, run.err
    assert require_lock(stack).versions() == {"base": "2.0", "newer": "1.0"}
    assert f"warning: {STACK}: beside what it replaces, packages of its parents lack" in run.err
    assert "strict==1.0" in run.err


def test_what_the_parent_overrides_or_lacks_counts_for_its_children(chain: Workshop) -> None:
    make_wheel(chain.pushed, "odd", "1.0")
    make_wheel(chain.pushed, "uses", "1.0", requires=["flash>=2", "odd>=2", "gone"])
    overrides = ["odd>=1", "gone; sys_platform == 'never'"]
    chain.flavor("base<2", "helper<2", "odd", name=FLAVOR, missing=["flash>=2"], overrides=overrides)
    stack = chain.child("uses<2", name=STACK, parent=FLAVOR)
    run = chain.lock("--all")
    assert run.status == 0, run.err
    assert require_lock(stack).versions() == {"uses": "1.0"}
    assert chain.lock("--all", "--verify").status == 0
    assert findings(chain, "FAC322", "FAC323", "FAC337") == []
