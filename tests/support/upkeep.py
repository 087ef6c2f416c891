"""What tests of upkeep share: folders as they stand, and reports by flavor."""

from pathlib import Path

from support.wheels import make_wheel
from support.workshop import Run, Workshop

FIRST, SECOND, THIRD = "first", "second", "third"


def tree(root: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def outcome(run: Run, flavor: str) -> dict[str, object]:
    """What a report says of one flavor."""
    flavors = run.data["flavors"]
    assert isinstance(flavors, list)
    found = {item["flavor"]: item for item in flavors}[flavor]
    assert isinstance(found, dict)
    return found


def make_three(workshop: Workshop) -> None:
    """Three locked flavors that have lib: one directly, one with app, one not at all."""
    for version in ("1.0", "1.1", "1.1.2"):
        make_wheel(workshop.pushed, "lib", version)
    make_wheel(workshop.pushed, "app", "1.0", requires=["lib"])
    make_wheel(workshop.pushed, "other", "1.0")
    workshop.flavor("lib==1.0", "other", name=FIRST)
    workshop.flavor("app", name=SECOND, constraints=["lib<1.1"])
    workshop.flavor("other", name=THIRD)
    assert workshop.lock("--all").status == 0
    make_wheel(workshop.pushed, "other", "2.0")
