"""The table ``[konflux]`` of ``factory.toml``: read, checked, and changed by options of the command line."""

import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import tomlkit

from factory import settings
from factory.dockerfile.references import check_image, check_platform
from factory.documents import TableReader, newer_factory, parse_toml_for_edit, written_by
from factory.errors import KonfluxError, SpecError
from factory.flavor.spec import ACCELERATORS
from factory.masking import masked_address
from factory.pages import docs_command
from factory.settings import SETTINGS_FILE, read_settings_text

TABLE = "konflux"
DEFAULTS: Mapping[str, str] = {"target-branch": "main", "out": ".tekton", "component-prefix": ""}
"""The defaults of keys that are options as well."""

# CUDA and ROCm images take hours to push and to scan; "check" is the run that checks every flavor.
_TIMEOUTS = {"cuda": "8h", "rocm": "8h", "cpu": "4h", "check": "6h"}
# Konflux's names; a cluster may have larger machines under others.
_PLATFORMS = {"linux/amd64": "linux/x86_64", "linux/arm64": "linux/arm64"}
_EXAMPLE = f"{docs_command('konflux')} shows a whole table"
_NEW_FILE = """\
# What this repository's flavors have in common. `factory docs konflux` explains every key.

[konflux]
"""
_MISSING = {
    "application": "--application NAME, the Konflux application that the components belong to",
    "output-image": "--output-image PLACE, such as quay.io/ORG/, where the images are in a registry",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a repository's PipelineRuns have in common.

    ``output_image`` is where the images are in a registry, and ends with a slash. ``service_account`` is
    None if each component has the one that Konflux makes for it; ``namespace`` is None if the run is in
    that of its Pipelines as Code Repository. ``netrc_secret`` is a Secret with a file ``.netrc``, None if
    the index needs no login. ``reproducible`` sets the time of all files of an image to that of its lock.
    ``timeouts`` are minutes, by accelerator, and that of ``check``; ``platforms`` the cluster's names of
    platforms, by the spec's. ``parents`` are references to images of the repository, by name: what Konflux
    has built of them, for the images on them.
    """

    application: str
    output_image: str
    target_branch: str
    service_account: str | None
    netrc_secret: str | None
    namespace: str | None
    component_prefix: str
    out: str
    image_expires_after: str
    max_keep_runs: int
    build_source_image: bool
    reproducible: bool
    build_args: tuple[str, ...]
    factory_image: str
    timeouts: Mapping[str, int]
    platforms: Mapping[str, str]
    parents: Mapping[str, str] = field(default_factory=dict)


def read_konflux_settings(root: Path) -> Settings | None:
    """Return the settings of the repository at root; None if it does not use Konflux.

    Raises:
        KonfluxError: the file cannot be read, or has an unacceptable value.
        StorageError: the file system refused.
    """
    text = _konflux_text(root)
    return None if text is None else parse_settings(text)


def _konflux_text(root: Path) -> str | None:
    """Return the text of ``factory.toml`` with its line ends as they are; None if it is missing.

    Raises:
        KonfluxError: it is not UTF-8.
        StorageError: the file system refused.
    """
    try:
        return read_settings_text(root)
    except SpecError as error:
        raise KonfluxError(error.reason, solution=error.solution) from error


def parse_konflux_document(text: str) -> dict[str, Any]:
    """Return the text of a ``factory.toml`` as data, without checking its keys.

    Raises:
        KonfluxError: it is not TOML.
    """
    try:
        return settings.read_document(text)
    except SpecError as error:
        raise KonfluxError(error.reason, solution=error.solution) from error


def parse_settings(text: str) -> Settings | None:
    """Return the settings in the text of a ``factory.toml``; None if it has no table [konflux].

    Raises:
        KonfluxError: it is not TOML, or a key is missing, unknown, of the wrong type or not acceptable.
    """
    document = parse_konflux_document(text)
    if unknown := settings.unknown_tables(document):
        raise KonfluxError(
            f"{SETTINGS_FILE} has unknown tables or keys: {', '.join(unknown)}",
            solution=f"Known tables: {', '.join(f'[{table}]' for table in settings.TABLES)}; {_EXAMPLE}. "
            f"{newer_factory(written_by(document))}",
        )
    try:
        return _settings(document[TABLE]) if TABLE in document else None
    except SpecError as error:
        reason = (
            error.reason if error.reason.startswith(SETTINGS_FILE) else f"{SETTINGS_FILE}: {error.reason}"
        )
        raise KonfluxError(reason, solution=error.solution) from error


def _settings(content: object) -> Settings:
    if not isinstance(content, dict):
        raise SpecError(f"{TABLE} is not a table", solution=f"Write it as [{TABLE}]; {_EXAMPLE}.")
    table = TableReader(content, where=SETTINGS_FILE, name=TABLE, example=_EXAMPLE)
    found = Settings(
        application=check_label(table.text("application"), of="application"),
        output_image=check_image_folder(table.text("output-image")),
        target_branch=check_branch(_text(table, "target-branch", DEFAULTS["target-branch"])),
        service_account=_optional_label(table, "service-account"),
        netrc_secret=_optional_label(table, "netrc-secret"),
        namespace=_optional_label(table, "namespace"),
        component_prefix=check_prefix(
            _text(table, "component-prefix", DEFAULTS["component-prefix"]), of="component-prefix"
        ),
        out=checked_folder(_text(table, "out", DEFAULTS["out"])),
        image_expires_after=check_expiry(_text(table, "image-expires-after", "5d")),
        max_keep_runs=_at_least_one(table, "max-keep-runs", default=3),
        build_source_image=table.flag("build-source-image", default=False),
        reproducible=table.flag("reproducible", default=False),
        build_args=tuple(check_build_argument(argument) for argument in table.texts("build-args")),
        # A parameter of the Pipelines as Code Repository, unless an image is given.
        factory_image=check_factory_image(_text(table, "factory-image", "{{ factory_image }}")),
        timeouts=_timeouts(table),
        platforms=_platforms(table),
        parents={
            name: check_image(image, of=f"parents.{name}") for name, image in table.named_texts("parents")
        },
    )
    table.refuse_the_rest()
    return found


def _text(table: TableReader, key: str, default: str) -> str:
    text = table.optional_text(key)
    return default if text is None else text


def _optional_label(table: TableReader, key: str) -> str | None:
    text = table.optional_text(key)
    return None if text is None else check_label(text, of=key)


def _at_least_one(table: TableReader, key: str, *, default: int) -> int:
    number = table.number(key, default=default)
    if number < 1:
        raise table.refuse(key, f"{number} is less than 1", "Write a whole number from 1 on.")
    return number


def _timeouts(table: TableReader) -> dict[str, int]:
    given = dict(table.named_texts("timeouts"))
    unknown = sorted(set(given) - set(_TIMEOUTS))
    if unknown:
        known = ", ".join((*ACCELERATORS, "check"))
        raise table.refuse("timeouts", f"unknown keys: {', '.join(unknown)}", f"Known keys: {known}.")
    return {key: check_duration(time, of=f"timeouts.{key}") for key, time in ({**_TIMEOUTS, **given}).items()}


def _platforms(table: TableReader) -> dict[str, str]:
    given = dict(table.named_texts("build-platforms"))
    checked = {
        check_platform(platform): check_machine(machine, of=f"build-platforms.{platform}")
        for platform, machine in given.items()
    }
    return {**_PLATFORMS, **checked}


@dataclass(frozen=True, kw_only=True)
class ChangedKey:
    """A key of ``[konflux]`` that an option changes; ``old`` is None if it was not set."""

    key: str
    old: str | None
    new: str


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The settings with a run's options, and the file's new text; None if unchanged."""

    settings: Settings
    changes: tuple[ChangedKey, ...]
    text: str | None


def settings_with(root: Path, options: Mapping[str, str | None]) -> Proposal:
    """Return the settings of the repository at root with options applied; None means not given.

    Nothing is written. The new text keeps the comments, order and line ends of the file.

    Raises:
        KonfluxError: the file or an option is not acceptable, or something required is missing.
        StorageError: the file system refused.
    """
    given = {key: value for key, value in options.items() if value is not None}
    _check_options(given)
    text = _konflux_text(root)
    old = {} if text is None else parse_konflux_document(text).get(TABLE, {})
    if not isinstance(old, Mapping):
        raise KonfluxError(f"{SETTINGS_FILE}: {TABLE} is not a table", solution=f"Write it as [{TABLE}].")
    changes = tuple(
        ChangedKey(key=key, old=None if key not in old else str(old[key]), new=value)
        for key, value in given.items()
        if old.get(key, DEFAULTS.get(key)) != value
    )
    _require_keys({*old, *(change.key for change in changes)})
    new = _NEW_FILE if text is None else text
    if changes:
        new = _with_changes(new, changes)
    settings = parse_settings(new)
    if settings is None:  # required keys are in the table, so the table exists
        raise KonfluxError(f"{SETTINGS_FILE} cannot be written", solution=f"Add [{TABLE}] by hand.")
    return Proposal(settings=settings, changes=changes, text=new if changes else None)


def _check_options(given: Mapping[str, str]) -> None:
    """Blame the option for a value that is not acceptable, not the file."""
    for key, value in given.items():
        if key not in _OPTION_CHECKS:  # `parse_settings` reports it
            continue
        try:
            _OPTION_CHECKS[key](value)
        except SpecError as error:
            raise KonfluxError(f"--{key}: {error.reason}", solution=error.solution) from error


def _with_changes(text: str, changes: Iterable[ChangedKey]) -> str:
    """Return the text with other values, whichever way TOML's table is written."""
    document = parse_toml_for_edit(text, source=SETTINGS_FILE)
    table = document.setdefault(TABLE, tomlkit.table())
    if not isinstance(table, MutableMapping):  # `read_document` found a table
        raise KonfluxError(f"{SETTINGS_FILE}: {TABLE} is not a table", solution=f"Write it as [{TABLE}].")
    for change in changes:
        table[change.key] = change.new
    new = tomlkit.dumps(document)
    if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    wanted = parse_konflux_document(text)
    wanted[TABLE] = wanted.get(TABLE, {}) | {change.key: change.new for change in changes}
    if parse_konflux_document(new) != wanted:  # never write a text with another meaning
        raise KonfluxError(
            f"{SETTINGS_FILE}: the options cannot be written into [{TABLE}] as it is written there",
            solution=f"Write one table [{TABLE}], its own keys before [{TABLE}.timeouts] and the like.",
        )
    return new


def _require_keys(keys: Iterable[str]) -> None:
    there = frozenset(keys)
    missing = [said for key, said in _MISSING.items() if key not in there]
    if missing:
        raise KonfluxError(
            f"{SETTINGS_FILE} does not say what the PipelineRuns need",
            solution=f"Give {', and '.join(missing)}; it is written into [{TABLE}] of {SETTINGS_FILE}.",
        )


# Checks of what a person gives and a PipelineRun contains. Everything is quoted as well; these refuse names
# that no cluster, registry or git takes, and text that Pipelines as Code (`{{ }}`) or Tekton replaces.

MAX_NAME_LENGTH = 63
_LEAST_MINUTES = 60
# The longest name of a run that is not a flavor's follows it: flavors-check-on-pull-request.
_LONGEST_PREFIX = MAX_NAME_LENGTH - 29
# RFC 1123, as Kubernetes asks for the names of most objects, and for labels more freely.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]*)")
# Fewer than git allows (git-check-ref-format): none that a shell, CEL, YAML or a template would read.
_BRANCH = re.compile(r"[A-Za-z0-9._/+@#=,%-]+")
_IMAGE_FOLDER = re.compile(r"[a-z0-9][a-z0-9.-]*(?::[0-9]+)?/(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?/)*")
_FOLDER = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*(?:/[A-Za-z0-9._][A-Za-z0-9._-]*)*")
# A parameter of the Repository itself: others, such as source_branch, come from the author of a pull request.
_PARAMETER = re.compile(r"\{\{ ?[a-z0-9_]+_image ?\}\}")
_OTHER_FOLDERS = frozenset({".git", "flavors", "templates"})
_EXPIRY = re.compile(r"[1-9][0-9]{0,3}[hdw]")
_DURATION = re.compile(r"(?:(?P<hours>[0-9]{1,3})h)?(?:(?P<minutes>[0-9]{1,3})m)?")
_MACHINE = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*/[a-z0-9_]+")
_ARGUMENT = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)=[^\x00-\x1f\x7f]*")


def check_label(text: str, *, of: str, room: int = 0) -> str:
    """Return a name that is a label's value too, of at most 63 characters less ``room``.

    Raises:
        SpecError: it is not one.
    """
    longest = MAX_NAME_LENGTH - room
    if not _LABEL.fullmatch(text) or len(text) > longest:
        raise SpecError(
            f"{text!r} is not a name that Kubernetes takes (given for {of})",
            solution=f"Use at most {longest} lower-case letters, digits and hyphens between them.",
        )
    return text


def check_prefix(text: str, *, of: str) -> str:
    """Return a prefix of names of Kubernetes objects, or the empty text.

    Raises:
        SpecError: no such name can begin with it.
    """
    if text and (not _PREFIX.fullmatch(text) or len(text) > _LONGEST_PREFIX):
        raise SpecError(
            f"{text!r} is not what a name can begin with (given for {of})",
            solution=f"Use at most {_LONGEST_PREFIX} lower-case letters, digits and hyphens, such as odh- .",
        )
    return text


def check_branch(branch: str) -> str:
    """Return the name of a git branch, without ``refs/heads/``.

    Raises:
        SpecError: git or Pipelines as Code would not take it, or read it as something else.
    """
    parts = branch.split("/")
    wrong = (
        not _BRANCH.fullmatch(branch)
        or branch.startswith(("-", "refs/heads/"))
        or branch.endswith(".")
        or ".." in branch
        or branch == "@"
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    )
    if wrong:
        raise SpecError(
            f"{branch!r} is not the name of a branch (given for target-branch)",
            solution="Give the branch alone, such as main or release/1.10, in letters, digits and ._/+@#=,%-",
        )
    return branch


def check_image_folder(place: str) -> str:
    """Return the place of images in a registry, such as ``quay.io/ORG/``, with the slash.

    The slash at its end may be left out: the prefix of a name is ``component-prefix``.

    Raises:
        SpecError: with a slash and a name after it, it is not an image reference, or it names no registry.
    """
    folder = place if place.endswith("/") else f"{place}/"
    host = folder.partition("/")[0]
    if not _IMAGE_FOLDER.fullmatch(folder) or not (set(".:") & set(host) or host == "localhost"):
        raise SpecError(
            f"{masked_address(place)!r} is not where images are in a registry (given for output-image)",
            solution="Write registry and organization, such as quay.io/ORG/ ; the component's name follows, "
            "and what that name begins with is component-prefix.",
        )
    check_image(f"{folder}name:tag", of="output-image")
    return folder


def check_factory_image(reference: str) -> str:
    """Return an image by digest, or a parameter of Pipelines as Code such as ``{{ factory_image }}``.

    Raises:
        SpecError: it is neither.
    """
    if _PARAMETER.fullmatch(reference):
        return reference
    if "@sha256:" not in check_image(reference, of="factory-image"):
        raise SpecError(
            f"factory-image {reference} has no digest",
            solution="Write it as registry/path@sha256:digest; what a tag names can change under the run.",
        )
    return reference


def checked_folder(path: str) -> str:
    """Return the path of a folder in the repository, beside ``flavors/``.

    Raises:
        SpecError: it leaves the repository, is not a plain path, or lies where flavors or templates are.
    """
    parts = path.split("/")
    if not _FOLDER.fullmatch(path) or {".", ".."} & set(parts) or parts[0] in _OTHER_FOLDERS:
        raise SpecError(
            f"{path!r} is not a folder for PipelineRuns (given for out)",
            solution="Give a path from the repository's root that nothing else uses; Pipelines as Code "
            "reads .tekton alone.",
        )
    return path


def check_expiry(time: str) -> str:
    """Return a registry's expiry of an image, such as ``5d``: hours, days or weeks.

    Raises:
        SpecError: it is not such a time.
    """
    if not _EXPIRY.fullmatch(time):
        raise SpecError(
            f"{time!r} is not how long an image is kept (given for image-expires-after)",
            solution="Write a number and h, d or w, such as 5d.",
        )
    return time


def check_duration(time: str, *, of: str) -> int:
    """Return the minutes of a duration such as ``8h`` or ``7h30m``; at least an hour.

    Raises:
        SpecError: it is not such a duration, or a shorter one.
    """
    match = _DURATION.fullmatch(time)
    minutes = int(match["hours"] or 0) * 60 + int(match["minutes"] or 0) if match else 0
    if minutes < _LEAST_MINUTES:
        raise SpecError(
            f"{time!r} is not how long a build may take (given for {of})",
            solution="Write hours and minutes, such as 8h or 7h30m, at least 1h.",
        )
    return minutes


def check_machine(machine: str, *, of: str) -> str:
    """Return a cluster's name of a platform, such as ``linux-mlarge/arm64``.

    Raises:
        SpecError: it is not such a name.
    """
    if not _MACHINE.fullmatch(machine):
        raise SpecError(
            f"{machine!r} is not a platform of Konflux (given for {of})",
            solution="Write it as the cluster names it, such as linux/x86_64 or linux-d160-m8xlarge/amd64.",
        )
    return machine


def check_build_argument(argument: str) -> str:
    """Return a build argument, ``NAME=VALUE``.

    Raises:
        SpecError: it is not one, says what follows from the spec, or has what Tekton would replace.
    """
    match = _ARGUMENT.fullmatch(argument)
    if match is None or "$(" in argument or "{{" in argument:
        raise SpecError(
            f"{argument!r} is not a build argument (given for build-args)",
            solution="Write NAME=VALUE on one line, without $(…) and {{…}}, which others would replace.",
        )
    if match["name"] == "BASE_IMAGE":
        raise SpecError(
            "build-args gives BASE_IMAGE, which follows from each flavor's spec",
            solution="Set downstream-base-image in the flavor's pyproject.toml, and `factory sync` it.",
        )
    return argument


_OPTION_CHECKS: Mapping[str, Callable[[str], str]] = {
    "application": partial(check_label, of="application"),
    "service-account": partial(check_label, of="service-account"),
    "output-image": check_image_folder,
    "target-branch": check_branch,
    "component-prefix": partial(check_prefix, of="component-prefix"),
    "out": checked_folder,
}
