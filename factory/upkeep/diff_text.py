"""A difference between flavors in words: for the terminal, and in Markdown for a pull request."""

from collections.abc import Iterator

from factory.console import Table
from factory.upkeep.diff import Difference, File, Package, Side
from factory.upkeep.markdown import code, folded, plain, table

_NOTHING = "-"
_DIGITS = 12
_PUSHED_ANEW = "other hashes under the same version, from the same index"


def as_text(found: Difference) -> tuple[str | Table, ...]:
    """The two sides, what differs in the spec and in what is asked for, and the packages."""
    title = f"{_side(found.before)} -> {_side(found.after)}"
    if not found.differs:
        return (f"{title}: no difference",)
    parts: list[str | Table] = [title, *_not_locked(found)]
    if found.settings:
        # As lines: two URLs or two images side by side are wider than a terminal.
        settings = (
            f"  {item.key}: {item.before or 'none'} -> {item.after or 'none'}" for item in found.settings
        )
        parts += ["", "\n".join(("spec:", *settings))]
    for item in found.requirements:
        removed, added = (f"  - {line}" for line in item.removed), (f"  + {line}" for line in item.added)
        parts += ["", "\n".join((f"{item.key}:", *removed, *added))]
    packages = tuple(_package(item) for item in _packages(found))
    if packages:
        parts += ["", Table(headings=("package", "before", "after", "", ""), rows=packages)]
    files = tuple((item.package, item.version or "", *_file(item)) for item in _pushed_anew(found))
    if files:
        parts += ["", f"{_PUSHED_ANEW}:"]
        parts += [Table(headings=("package", "version", "file", "before", "after"), rows=files)]
    parts += [f"\n{line}" for line in _other_index(found)]
    if found.moved:
        moved = tuple((item.package, item.before, item.after) for item in found.moved)
        parts += ["", Table(headings=("from another index", "before", "after"), rows=moved)]
    return (*parts, "", _count(found))


def as_markdown(found: Difference) -> str:
    """The same for a pull request; long tables are behind a click."""
    lines = [f"### {_marked(found.before)} → {_marked(found.after)}", ""]
    if not found.differs:
        return "\n".join((*lines, "No difference."))
    lines += [_count(found).capitalize() + ".", "", *(f"{plain(line)}.\n" for line in _not_locked(found))]
    if found.settings:
        rows = [(code(item.key), code(item.before or ""), code(item.after or "")) for item in found.settings]
        lines += folded("Spec", list(table(("key", "before", "after"), rows)), rows=len(rows))
    if found.requirements:
        entries = [
            (code(item.key), sign, code(line))
            for item in found.requirements
            for sign, group in (("removed", item.removed), ("added", item.added))
            for line in group
        ]
        lines += folded("pyproject.toml", list(table(("list", "", "entry"), entries)), rows=len(entries))
    for title, group in (("Changed", found.changed), ("Added", found.added), ("Removed", found.removed)):
        cells = [_package(item) for item in group]
        if cells:
            heading = f"{title}: {len(cells)} {_plural('package', len(cells))}"
            content = list(table(("package", "before", "after", "step", ""), cells))
            lines += folded(heading, content, rows=len(cells))
    files = [(item.package, item.version or "", *_file(item)) for item in _pushed_anew(found)]
    if files:
        content = list(table(("package", "version", "file", "before", "after"), files))
        lines += folded(_PUSHED_ANEW.capitalize(), content, rows=len(files))
    lines += [f"{plain(line)}\n" for line in _other_index(found)]
    if found.moved:
        moved = [(item.package, item.before, item.after) for item in found.moved]
        lines += folded(
            "From another index", list(table(("package", "before", "after"), moved)), rows=len(moved)
        )
    return "\n".join(lines).rstrip("\n")


def _packages(found: Difference) -> tuple[Package, ...]:
    everything = (*found.changed, *found.added, *found.removed)
    return tuple(sorted(everything, key=lambda item: (not item.direct, item.name)))


def _package(item: Package) -> tuple[str, str, str, str, str]:
    said = ("added" if item.before is None else "removed") if item.step is None else item.step
    return (
        item.name,
        item.before or _NOTHING,
        item.after or _NOTHING,
        f"{said}, older" if item.older else said,
        "direct" if item.direct else "",
    )


def _pushed_anew(found: Difference) -> tuple[File, ...]:
    return tuple(item for item in found.rehashed if item.same_index)


def _other_index(found: Difference) -> Iterator[str]:
    """Of what two indexes have of one version, the names: their files are never the same."""
    names = dict.fromkeys(item.package for item in found.rehashed if not item.same_index)
    if names:
        yield f"the same version from another index, with hashes of its own: {', '.join(names)}"


def _file(item: File) -> tuple[str, str, str]:
    before, after = ((digest or _NOTHING)[:_DIGITS] for digest in (item.before, item.after))
    return item.file_name or _NOTHING, before, after


def _side(side: Side) -> str:
    if side.commit is None:
        return side.flavor
    return f"{side.flavor} at {side.revision} ({side.commit[:_DIGITS]})"


def _marked(side: Side) -> str:
    if side.commit is None:
        return code(side.flavor)
    return f"{code(side.flavor)} at {code(side.revision or '')} ({side.commit[:_DIGITS]})"


def _not_locked(found: Difference) -> Iterator[str]:
    for side in (found.before, found.after):
        if not side.locked:
            yield f"{_side(side)} is not locked"


def _count(found: Difference) -> str:
    rehashed = len({item.package for item in found.rehashed})
    counts = ((len(found.changed), "changed"), (len(found.added), "added"), (len(found.removed), "removed"))
    said = ", ".join(f"{number} {word}" for number, word in counts)
    return f"packages: {said}, {rehashed} with other hashes"


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"
