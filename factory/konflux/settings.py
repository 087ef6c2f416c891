"""The table ``[konflux]`` of ``factory.toml`` at the repository's root, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory import settings
from factory.dockerfile.references import check_platform
from factory.errors import KonfluxError, SpecError
from factory.flavor.spec import ACCELERATORS
from factory.flavor.table import Table
from factory.konflux.values import (
    check_branch,
    check_build_argument,
    check_duration,
    check_expiry,
    check_factory_image,
    check_folder,
    check_image_folder,
    check_label,
    check_machine,
    check_prefix,
)
from factory.settings import SETTINGS_FILE, read_text

TABLE = "konflux"
DEFAULTS: Mapping[str, str] = {"target-branch": "main", "out": ".tekton", "component-prefix": ""}
"""What a key of the table is where it is not there, for those that an option gives as well."""

# CUDA and ROCm images take hours to push and to scan; "check" is the run that checks every flavor.
_TIMEOUTS = {"cuda": "8h", "rocm": "8h", "cpu": "4h", "check": "6h"}
# Konflux's names; a cluster may have larger machines under others.
_PLATFORMS = {"linux/amd64": "linux/x86_64", "linux/arm64": "linux/arm64"}
_EXAMPLE = "docs/konflux.md shows a whole table"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a repository's PipelineRuns have in common.

    ``output_image`` is where the images are in a registry, and ends with a slash. ``service_account`` is
    None where each component has the one that Konflux makes for it; ``namespace`` is None where the run is
    in that of its Pipelines as Code Repository. ``netrc_secret`` is a Secret with a file
    ``.netrc``, None where the index wants no login. ``reproducible`` gives all files of an image the time of
    its lock. ``timeouts`` are minutes, by accelerator, and that of ``check``; ``platforms`` the cluster's
    names of platforms, by the spec's.
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


def read_settings(root: Path) -> Settings | None:
    """The settings of the repository at root; None where it has none, and so does not use Konflux.

    Raises:
        KonfluxError: the file cannot be read, or says what is not acceptable.
        StorageError: the file system refused.
    """
    text = read_settings_text(root)
    return None if text is None else parse_settings(text)


def read_settings_text(root: Path) -> str | None:
    """The text of ``factory.toml``, its line ends as they are; None where there is no such file.

    Raises:
        KonfluxError: it is not UTF-8.
        StorageError: the file system refused.
    """
    try:
        return read_text(root)
    except SpecError as error:
        raise KonfluxError(error.reason, solution=error.solution) from error


def read_document(text: str) -> dict[str, Any]:
    """The text of a ``factory.toml`` as data, whatever it says.

    Raises:
        KonfluxError: it is not TOML.
    """
    try:
        return settings.read_document(text)
    except SpecError as error:
        raise KonfluxError(error.reason, solution=error.solution) from error


def parse_settings(text: str) -> Settings | None:
    """The settings that the text of a ``factory.toml`` holds; None where it has no table for them.

    Raises:
        KonfluxError: it is not TOML, or a key is missing, unknown, of the wrong type or not acceptable.
    """
    document = read_document(text)
    if unknown := settings.unknown_tables(document):
        raise KonfluxError(
            f"{SETTINGS_FILE} has unknown tables or keys: {', '.join(unknown)}",
            solution=f"Known tables: {', '.join(f'[{table}]' for table in settings.TABLES)}; {_EXAMPLE}.",
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
    table = Table(content, where=SETTINGS_FILE, name=TABLE, example=_EXAMPLE)
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
        out=check_folder(_text(table, "out", DEFAULTS["out"])),
        image_expires_after=check_expiry(_text(table, "image-expires-after", "5d")),
        max_keep_runs=_at_least_one(table, "max-keep-runs", default=3),
        build_source_image=table.flag("build-source-image", default=False),
        reproducible=table.flag("reproducible", default=False),
        build_args=tuple(check_build_argument(argument) for argument in table.texts("build-args")),
        # A parameter of the Pipelines as Code Repository, as long as nobody gives an image.
        factory_image=check_factory_image(_text(table, "factory-image", "{{ factory_image }}")),
        timeouts=_timeouts(table),
        platforms=_platforms(table),
    )
    table.refuse_the_rest()
    return found


def _text(table: Table, key: str, default: str) -> str:
    text = table.optional_text(key)
    return default if text is None else text


def _optional_label(table: Table, key: str) -> str | None:
    text = table.optional_text(key)
    return None if text is None else check_label(text, of=key)


def _at_least_one(table: Table, key: str, *, default: int) -> int:
    number = table.number(key, default=default)
    if number < 1:
        raise table.refuse(key, f"{number} is less than 1", "Write a whole number from 1 on.")
    return number


def _timeouts(table: Table) -> dict[str, int]:
    given = dict(table.named_texts("timeouts"))
    unknown = sorted(set(given) - set(_TIMEOUTS))
    if unknown:
        known = ", ".join((*ACCELERATORS, "check"))
        raise table.refuse("timeouts", f"unknown keys: {', '.join(unknown)}", f"Known keys: {known}.")
    return {key: check_duration(time, of=f"timeouts.{key}") for key, time in ({**_TIMEOUTS, **given}).items()}


def _platforms(table: Table) -> dict[str, str]:
    given = dict(table.named_texts("build-platforms"))
    checked = {
        check_platform(platform): check_machine(machine, of=f"build-platforms.{platform}")
        for platform, machine in given.items()
    }
    return {**_PLATFORMS, **checked}
