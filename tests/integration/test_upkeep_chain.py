"""Upkeep of images on images: what reaches a parent reaches its children, all of them or none."""

import json
import subprocess
from pathlib import Path

import pytest
from support.wheels import make_wheel
from support.workshop import Run, Workshop

from factory.check.check import check_flavors
from factory.clock import today
from factory.errors import NotFoundError
from factory.flavor.repository import Repository
from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.integration
FLAVOR, STACK, TRAINER = "th09-cpu-torch2110-py312", "llm-stack", "tuner"
MOVES = 27


@pytest.fixture
def chain(workshop: Workshop) -> Workshop:
    """A flavor, a stack on it and a trainer on that, locked at 1.0 of what they bring; the index has 1.1."""
    for name, requires in (("base", []), ("adds", ["base"]), ("own", ["adds"])):
        make_wheel(workshop.pushed, name, "1.0", requires=requires)
    workshop.flavor("base", name=FLAVOR)
    workshop.child("adds", name=STACK, parent=FLAVOR)
    workshop.child("own", name=TRAINER, parent=STACK, kind="trainer")
    assert workshop.lock("--all").status == 0
    for name, requires in (("base", []), ("adds", ["base"]), ("own", ["adds"])):
        make_wheel(workshop.pushed, name, "1.1", requires=requires)
    return workshop


def versions(workshop: Workshop) -> dict[str, str]:
    """What each image pins on its own."""
    return {
        name: version
        for image in Repository(workshop.root).images()
        for name, version in require_lock(image.folder).versions().items()
    }


def stale(workshop: Workshop) -> list[str]:
    images = Repository(workshop.root).images()
    report = check_flavors(images, root=workshop.root, today=today(), others=images)
    return [item.flavor for item in report.findings if item.code in {"FAC321", "FAC337"}]


def texts(workshop: Workshop) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in workshop.root.rglob("*") if path.is_file()}


def states(run: Run) -> dict[str, str]:
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    return {item["flavor"]: item["state"] for item in flavors}


def test_a_floor_in_a_flavor_locks_its_children_again_in_one_transaction(chain: Workshop) -> None:
    run = chain.run("bump", "base>=1.1", "--image", FLAVOR, "--json")
    assert run.status == 0, run.err
    assert states(run) == {FLAVOR: "changed", STACK: "changed", TRAINER: "changed"}
    assert versions(chain) == {"base": "1.1", "adds": "1.0", "own": "1.0"}
    assert stale(chain) == []
    again = chain.run("bump", "base>=1.1", "--image", FLAVOR, "--json")
    assert states(again) == {FLAVOR: "nothing-to-do"}


def test_a_floor_in_a_stack_leaves_its_parent_alone(chain: Workshop) -> None:
    run = chain.run("bump", "adds>=1.1", "--all", "--json")
    assert run.status == 0, run.err
    assert states(run) == {FLAVOR: "left-alone", STACK: "changed", TRAINER: "changed"}
    assert versions(chain) == {"base": "1.0", "adds": "1.1", "own": "1.0"}
    assert stale(chain) == []


def test_a_child_that_does_not_go_with_the_new_parent_holds_everything(chain: Workshop) -> None:
    chain.child("own", "base<1.1", name=TRAINER, parent=STACK, kind="trainer")
    assert chain.lock(TRAINER).status == 0
    before = texts(chain)
    run = chain.run("bump", "base>=1.1", "--image", FLAVOR)
    assert run.status != 0
    assert f"{TRAINER}: " in run.err
    assert "base" in run.err
    assert texts(chain) == before


def test_a_dry_run_says_what_would_follow_and_writes_nothing(chain: Workshop) -> None:
    before = texts(chain)
    run = chain.run("bump", "base>=1.1", "--all", "--dry-run")
    assert run.status == 0, run.err
    assert f"{TRAINER}: would change" in run.out
    assert f"locked again, since the lock of its parent {STACK} changes" in run.out
    assert texts(chain) == before


def test_a_floor_that_the_parent_is_above_does_not_cap_away_what_it_has(chain: Workshop) -> None:
    make_wheel(chain.pushed, "base", "5.24")
    assert chain.lock(FLAVOR, "--upgrade").status == 0
    chain.child("adds", "base>=1,<6", name=STACK, parent=FLAVOR)
    assert chain.lock("--all").status == 0
    run = chain.run("bump", "base>=5.0", "--all", "--json")
    assert run.status == 0, run.err
    assert states(run)[STACK] == "changed"
    assert "base>=5.0,<5.25" in (chain.root / "images" / STACK / "pyproject.toml").read_text()
    assert stale(chain) == []


def test_a_package_of_the_parent_is_raised_there(chain: Workshop) -> None:
    run = chain.run("bump", "base>=1.1", "--image", STACK)
    assert run.status == NotFoundError.exit_code
    assert f"{FLAVOR} has it" in run.err
    assert f"--image {FLAVOR}" in run.err


def test_an_image_is_audited_with_its_parents(chain: Workshop, tmp_path: Path) -> None:
    advisory = {
        "id": "CVE-2026-1",
        "modified": "2026-11-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
            }
            for name in ("base", "adds")
        ],
    }
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv" / "CVE-2026-1.json").write_text(json.dumps(advisory))
    run = chain.run("audit", STACK, "--advisories", str(tmp_path / "osv"))
    assert run.status == 1, run.err
    assert f"factory bump 'adds>=1.1' --image {STACK}" in run.out
    assert f"factory bump 'base>=1.1' --image {FLAVOR}" in run.out


def test_what_a_child_brings_is_fetched_and_listed_alone(chain: Workshop, tmp_path: Path) -> None:
    run = chain.run("prefetch", STACK, "--output", str(tmp_path / "got"), "--json")
    assert run.status == 0, run.err
    wheels = sorted(path.name for path in tmp_path.rglob("*.whl") if "got" in path.parts)
    assert wheels == ["adds-1.0-py3-none-any.whl"]
    sbom = json.loads(chain.run("sbom", STACK).out)
    assert [item["name"] for item in sbom["components"]] == ["adds"]
    assert chain.run("sbom", STACK, "--write").status == 0
    assert chain.run("bump", "adds>=1.1", "--image", STACK).status == 0
    written = json.loads((chain.root / "images" / STACK / "sbom.cdx.json").read_text())
    assert [item["version"] for item in written["components"]] == ["1.1"]


def test_the_index_of_a_child_lacks_only_what_its_parents_do_not_have(chain: Workshop) -> None:
    assert chain.run("index-gaps", STACK).status == 0
    chain.child("adds", "nowhere", name=STACK, parent=FLAVOR)
    run = chain.run("index-gaps", STACK, "--json")
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    assert [gap["package"] for gap in flavors[0]["gaps"]] == ["nowhere"]


def test_a_child_is_compared_with_what_git_has(chain: Workshop) -> None:
    for words in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"),
    ):
        subprocess.run(["git", *words], cwd=chain.root, check=True)
    assert chain.run("bump", "adds>=1.1", "--image", STACK).status == 0
    run = chain.run("diff", STACK, "--json")
    assert run.status == 0, run.err
    assert "adds" in run.out
    assert "1.1" in run.out
    both = chain.run("diff", STACK, TRAINER)
    assert both.status == 0, both.err


def test_the_layers_of_a_child_are_its_own(chain: Workshop) -> None:
    run = chain.run("layers", STACK, "--json")
    assert run.status == 0, run.err
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    assert [(layer["name"], layer["packages"]) for layer in flavors[0]["layers"]] == [("rest", ["adds"])]
