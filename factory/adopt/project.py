"""Write the ``pyproject.toml`` of an adopted folder: its own text with a spec."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import tomlkit
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from tomlkit.items import Array

from factory.adopt.decide import Decision
from factory.adopt.dockerfile import OldInstruction
from factory.adopt.draft import Draft
from factory.adopt.evidence import FolderContent
from factory.adopt.locks import OldLock
from factory.adopt.placement import has_credentials, printable, without_secrets
from factory.adopt.requirements import INDEX_KEYS, REQUIREMENTS_IN, AskedRequirement, pep508_problem
from factory.dockerfile.references import parse_requirement
from factory.documents import parse_toml_for_edit
from factory.errors import SpecError
from factory.flavor.hooks import Hooks
from factory.flavor.project import PROJECT_FILE
from factory.flavor.spec import Spec
from factory.lock.lockfile import Pin

_HEAD = """\
# {name}: the only file of this flavor that a person edits. Adopted from {folder} by `factory adopt`.
#
# Everything else here is rendered (`factory sync`), locked (`factory lock`), or copied by a hook.
# After a change: factory sync {name} && factory lock {name} && factory check {name}

"""


_LIMITS = ("constraint-dependencies", "override-dependencies")


def new_project(sources: FolderContent, decision: Decision, draft: Draft) -> tuple[str, tuple[str, ...]]:
    """Return the project of the flavor, and notes on what changed in it.

    The folder's own text is kept except for what contradicts the spec.
    """
    spec = decision.spec
    notes: list[str] = []
    asked = list(_asked(sources, notes))
    old = sources.project
    text = "[project]\n" if old is None else old.text
    document = parse_toml_for_edit(text, source=PROJECT_FILE, error=SpecError)
    project = _table(document, "project")
    if project.get("name") != spec.folder_name:
        project["name"] = spec.folder_name
    project.setdefault("version", spec.training_hub)
    _set_python(project, spec, notes)
    array = _dependencies(project)
    _constrain(document, sources.limits.asked, notes)
    uv = document.get("tool", {}).get("uv", {})
    arrays = [found for key in _LIMITS if isinstance(found := uv.get(key), Array)]
    for each in (array, *arrays):
        _drop_unreadable(each)
    installed = [
        AskedRequirement(requirement=name, why=_installed_by(step))
        for name, step in draft.requirements.items()
    ]
    _add(array, (*_tightened(array, installed, notes), *asked), notes)
    _add(array, _of_spec(spec), notes)
    _settle(array, spec, notes)
    for each in arrays:
        _settle(each, spec, notes)
    _drop_indexes(uv, notes)
    head = _HEAD.format(name=spec.folder_name, folder=sources.folder.root.name)
    body = tomlkit.dumps(document).rstrip()
    if has_credentials(body):
        notes.append("pyproject.toml held credentials, which were put out of sight: change the password")
    text = f"{head}{without_secrets(body)}\n\n{spec_text(decision, draft)}"
    if "\r\n" in body:
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    return text, tuple(notes)


def _installed_by(step: OldInstruction) -> str:
    """Return where something is installed by name, with the comment above it."""
    said = " ".join(line.lstrip("#").strip() for line in step.comment.splitlines())
    why = f"installed by {step.where}, beside the lock"
    return printable(f"{why}: {said}" if said else why)


def _asked(sources: FolderContent, notes: list[str]) -> Iterator[AskedRequirement]:
    """Yield requirements outside of the project: in files, in locks, and from extras."""
    if sources.project is None or not sources.project.dependencies:
        if sources.asked is not None:
            notes.append(f"dependencies are those of {REQUIREMENTS_IN}")
            yield from sources.asked.asked
        elif sources.lock is None:
            notes.append("nothing says what the image adds to its base: name it in [project] dependencies")
        else:
            found, how = guessed(sources.lock)
            notes.append(f"dependencies are a guess from {sources.lock.path}: {how}. Look at them")
            yield from found
            for further in sources.further:
                yield from guessed(further.lock)[0]
    for lock in sources.beside:
        for item in guessed(lock)[0]:
            yield AskedRequirement(requirement=item.requirement, why=f"installed from {lock.path}")
    for extra in sources.lock.extras if sources.lock else ():
        why = f"of the extra {extra!r}, with which the lock was compiled"
        for text in sources.project.extras.get(extra, ()) if sources.project else ():
            yield AskedRequirement(requirement=text, why=why)


def _table(parent: MutableMapping[str, Any], key: str) -> MutableMapping[str, Any]:
    """Return the table of that name; create it if missing."""
    if key not in parent:
        parent[key] = tomlkit.table()
    table: MutableMapping[str, Any] = parent[key]
    return table


def _dependencies(project: MutableMapping[str, Any]) -> Array:
    """Return the list of dependencies, empty if another file lists them (``dynamic``)."""
    dynamic = project.get("dynamic")
    for key in ("dependencies", "version"):
        if isinstance(dynamic, Array) and key in dynamic:
            dynamic.remove(key)
    if not isinstance(project.get("dependencies"), Array):
        project["dependencies"] = tomlkit.array().multiline(multiline=True)
    array: Array = project["dependencies"]
    return array


def _constrain(document: tomlkit.TOMLDocument, limits: Sequence[AskedRequirement], notes: list[str]) -> None:
    """Add the constraints of the Dockerfile's installs to uv's."""
    if not limits:
        return
    uv = _table(_table(document, "tool"), "uv")
    if not isinstance(uv.get(_LIMITS[0]), Array):
        uv[_LIMITS[0]] = tomlkit.array().multiline(multiline=True)
    known = {str(item) for item in uv[_LIMITS[0]]}
    for item in limits:
        if item.requirement not in known:
            uv[_LIMITS[0]].add_line(item.requirement, comment=item.why)
            notes.append(f"{item.requirement} is a constraint now: {item.why}")


def _drop_unreadable(array: Array) -> None:
    """Remove invalid requirements; the report names each with its line."""
    for position in reversed(range(len(array))):
        if pep508_problem(str(array[position])) is not None:
            del array[position]


def spec_text(decision: Decision, draft: Draft) -> str:
    """Return ``[tool.factory]`` with the origin of each value, and the hooks."""
    where = {origin.key: origin.where for origin in decision.origins}
    lines = ["[tool.factory]"]
    for key, value in _spec_values(decision.spec):
        if value is None:
            lines.append("# No index-url: locked against the public index.")
        else:
            said = where.get(key)
            lines.append(f"{key} = {value}" + (f"  # {printable(said)}" if said else ""))
    for index in decision.spec.indexes:
        lines += [
            "\n[[tool.factory.indexes]]",
            f"name = {_string(index.name)}",
            f"url = {_string(index.url)}",
            f"packages = {_list(index.packages)}",
        ]
    return "\n".join([*lines, *_hook_lines(draft.hooks(), draft.comments)]) + "\n"


def _spec_values(spec: Spec) -> Iterator[tuple[str, str | None]]:
    yield "accelerator", _string(spec.accelerator)
    if spec.accelerator_version is not None:
        yield "accelerator-version", _string(spec.accelerator_version)
    yield "torch", _string(spec.torch)
    yield "python", _string(spec.python)
    yield "training-hub", _string(spec.training_hub)
    yield "index-url", None if spec.index_url is None else _string(spec.index_url)
    yield "platforms", f"[{', '.join(map(_string, spec.platforms))}]"
    yield "base-image", _string(spec.base_image)
    yield "downstream-base-image", _string(spec.downstream_base_image)
    yield "template-set", _string(spec.template_set)
    if spec.name is not None:
        yield "name", _string(spec.name)


def _hook_lines(hooks: Hooks, comments: Mapping[str, str]) -> Iterator[str]:
    parts = [
        f"system-packages = {_list(hooks.system_packages)}" if hooks.system_packages else "",
        _text("midstream", hooks.midstream),
        _text("before-install", hooks.before_install),
        _text("after-install", hooks.after_install),
        f"files = {_list(hooks.files)}" if hooks.files else "",
    ]
    written = [part for part in parts if part]
    if not written and not hooks.environment:
        return
    yield "\n# What the folder's Dockerfile had of its own; the template puts it in its place."
    if written:
        yield "[tool.factory.hooks]"
        yield from written
    if hooks.environment:
        yield "\n[tool.factory.hooks.environment]" if written else "[tool.factory.hooks.environment]"
    for name, value in hooks.environment:
        yield from comments.get(name, "").splitlines()
        yield f"{name} = {_string(value)}"


def _text(key: str, text: str) -> str:
    if not text:
        return ""
    quoted = _string(text) if "'''" in text or text.endswith("'") else f"'''\n{text}\n'''"
    return f"{key} = {quoted}"


def _list(items: Iterable[str]) -> str:
    return "[\n" + "".join(f"    {_string(item)},\n" for item in items) + "]"


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _set_python(project: MutableMapping[str, object], spec: Spec, notes: list[str]) -> None:
    wanted = f"=={spec.python}.*"
    said = project.get("requires-python")
    try:
        fits = said is not None and spec.python in SpecifierSet(str(said)) and "==" in str(said)
    except ValueError:
        fits = False
    if not fits:
        project["requires-python"] = wanted
        if said is not None and str(said) != wanted:
            notes.append(f"requires-python was {said}, and is {wanted} now: a flavor is for one Python")


def _settle(array: Array, spec: Spec, notes: list[str]) -> None:
    """Adjust requirements: exact pins follow the spec, "no version" and URLs are removed."""
    versions = {"torch": spec.torch, "training-hub": spec.training_hub}
    for position, item in enumerate(list(array)):
        try:
            requirement = parse_requirement(str(item))
        except InvalidRequirement:
            continue
        version = versions.get(canonicalize_name(requirement.name))
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        marker = f"; {requirement.marker}" if requirement.marker else ""
        exact = all(part.operator in {"==", "==="} for part in requirement.specifier)
        if requirement.url is not None:
            pinned = f"=={version}" if version is not None else ""
            array[position] = f"{requirement.name}{extras}{pinned}{marker}"
            notes.append(
                f"{requirement.name} came from {printable(requirement.url)} (field note 10): it is asked for "
                f"as {array[position]} now, and has to be on the index"
            )
        elif version is not None and _is_build_of(requirement, version):
            continue
        elif version is not None and exact:
            repinned = f"{requirement.name}{extras}=={version}{marker}"
            if repinned.replace(" ", "") != str(item).replace(" ", ""):
                array[position] = repinned
                why = "field note 6" if requirement.specifier else "it named no version"
                notes.append(f"{item} is {repinned} now: the spec says {version} ({why})")
        elif version is not None and not requirement.specifier.contains(version, prereleases=True):
            notes.append(f"{item} rules out {version}, which the spec says: change it before locking")


def _is_build_of(requirement: Requirement, version: str) -> bool:
    """Return whether a requirement pins one build of a version, such as 2.13.0+cpu."""
    pinned = [part.version.partition("+") for part in requirement.specifier]
    return len(pinned) == 1 and pinned[0][0] == version and bool(pinned[0][2])


def _of_spec(spec: Spec) -> Iterator[AskedRequirement]:
    """Yield torch and Training Hub, which would float if nothing requires them."""
    for package, version in (("torch", spec.torch), ("training-hub", spec.training_hub)):
        yield AskedRequirement(
            requirement=f"{package}=={version}", why="of the spec; nothing asked for it by name"
        )


def _add(array: Array, asked: Iterable[AskedRequirement], notes: list[str]) -> None:
    """Add missing requirements, each on its own line with the reason as a comment."""
    names = {_name(str(item)) for item in array}
    for item in asked:
        if _name(item.requirement) in names:
            continue
        names.add(_name(item.requirement))
        array.add_line(item.requirement, comment=item.why)
        if item.why != GUESS:
            notes.append(f"{item.requirement} is a dependency now: {item.why}")


def _tightened(
    array: Array, installed: Iterable[AskedRequirement], notes: list[str]
) -> Iterator[AskedRequirement]:
    """Tighten existing requirements by the Dockerfile's versions; return the rest."""
    for item in installed:
        wanted = parse_requirement(item.requirement)
        name = canonicalize_name(wanted.name)
        position = next((place for place, text in enumerate(array) if _name(str(text)) == name), None)
        before = parse_requirement(str(array[position])) if position is not None else None
        if position is None or before is None:
            yield item
        elif before.url is None and before.marker == wanted.marker:
            after = parse_requirement(str(before))
            after.extras = before.extras | wanted.extras
            after.specifier = before.specifier & wanted.specifier
            if str(after) != str(before):
                array[position] = str(after)
                notes.append(f"{before} is {after} now: {item.requirement} is {item.why}")
                notes += _contradiction(before, wanted)
        elif wanted.specifier:
            array.add_line(item.requirement, comment=item.why)
            notes.append(f"{item.requirement} is asked for beside {before}: {item.why}")


def _contradiction(before: Requirement, wanted: Requirement) -> Iterator[str]:
    """Yield a note if no version meets two requirements, as far as exact ones show."""
    for one, other in ((before, wanted), (wanted, before)):
        exact = [part.version for part in one.specifier if part.operator in {"==", "==="}]
        if any(not v.endswith(".*") and not other.specifier.contains(v, prereleases=True) for v in exact):
            yield f"{before} and {wanted} exclude one another: choose one, or `factory lock` refuses both"
            return


def _drop_indexes(uv: object, notes: list[str]) -> None:
    """Remove settings that name indexes: packages come from those of the spec."""
    tables = (("[tool.uv]", uv), ("[tool.uv.pip]", uv.get("pip") if isinstance(uv, Mapping) else None))
    for where, table in tables:
        for key in INDEX_KEYS:
            if isinstance(table, MutableMapping) and key in table:
                del table[key]
                notes.append(f"{key} was taken out of {where}: {_INSTEAD.get(key, _INSTEAD['index'])}")


GUESS = "a guess from the lock"
_INSTEAD = {
    "index-strategy": "it let a public package win over a private one of the same name (field note 9)",
    "sources": "packages come from the indexes of the spec; what has one of its own goes into "
    "[[tool.factory.indexes]]",
    "find-links": "give the folder to `factory lock --find-links`",
    "index": "index-url of the spec says it; another goes into [[tool.factory.indexes]] with its packages",
}


def _name(requirement: str) -> str:
    try:
        return canonicalize_name(parse_requirement(requirement).name)
    except InvalidRequirement:
        return requirement


def guessed(lock: OldLock) -> tuple[tuple[AskedRequirement, ...], str]:
    """Return the packages that a lock was compiled for, and how that is known."""
    names = lock.asked if lock.asked is not None else frozenset(pin.name for pin in lock.pins)
    how = "those that its comments name" if lock.asked is not None else "all that it pins: it says no more"
    again = Counter(pin.name for pin in lock.pins)
    asked = tuple(
        AskedRequirement(requirement=_as_asked(pin, alone=again[pin.name] == 1), why=GUESS)
        for pin in lock.pins
        if pin.name in names
    )
    return tuple({item.requirement: item for item in asked}.values()), how


def _as_asked(pin: Pin, *, alone: bool) -> str:
    """Return a pin as a requirement: with extras, marker, and a version of the spec."""
    try:
        said = parse_requirement(pin.text)
    except InvalidRequirement:
        return pin.name
    if said.url is not None:
        return str(said)
    extras = f"[{','.join(sorted(said.extras))}]" if said.extras else ""
    marker = f"; {said.marker}" if said.marker and alone else ""
    versions = str(said.specifier) if pin.version is None else ""
    if pin.version is not None and pin.name in {"torch", "training-hub"}:
        versions = f"=={pin.version.partition('+')[0]}"
    return f"{pin.name}{extras}{versions}{marker}"
