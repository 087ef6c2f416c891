"""The spec of an image, ``[tool.factory]`` of its ``pyproject.toml``, and the name of a flavor."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, is_normalized_name
from packaging.version import Version

from factory.dockerfile.references import (
    check_accelerator_version,
    check_glibc,
    check_host,
    check_image,
    check_index_url,
    check_platform,
    check_python,
    check_template_set,
    check_version,
    parse_requirement,
)
from factory.documents import SPEC_EXAMPLE, VERSION_KEY, TableReader, written_by
from factory.errors import SpecError
from factory.flavor.hooks import NO_HOOKS, Hooks, read_hooks
from factory.flavor.kinds import IMAGES_EXAMPLE, Kind

ACCELERATORS = ("cuda", "rocm", "cpu")
BUILD_LAYER = "build"
"""The layer of a pytorch-base that is for its build alone."""


DEFAULT_PLATFORMS = ("linux/amd64",)


DEFAULT_TEMPLATE_SET = "universal"


# The C library of UBI 9 and RHEL 9, which the base images are built on; it bounds the manylinux tags.
DEFAULT_GLIBC = "2.34"


MAIN_INDEX = "main"
"""The name of a flavor's own index (``index-url``) among named ones."""


ACCELERATOR = "accelerator"
"""The layer of the accelerator's stack."""


REST = "rest"
"""The last layer, for packages that no other layer names."""


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A requirement that the image should have and its index lacks, with the reason."""

    requirement: str
    reason: str

    @property
    def package(self) -> str:
        """The normalized name of the package (PEP 503)."""
        return _package_of(self.requirement)


@lru_cache(maxsize=4096)  # the rules ask often
def _package_of(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


@dataclass(frozen=True, kw_only=True)
class FurtherIndex:
    """An index that serves the named packages; ``packages`` are normalized names (PEP 503).

    Its name is part of the name of its lock file, ``requirements-NAME.txt``.
    """

    name: str
    url: str
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """A finding that is accepted up to and including the day ``expires``.

    ``finding`` is the code of a rule (``FAC206``), ``drift``, or the id of an advisory
    (``CVE-2026-54058``); ``package`` (normalized) narrows it to one package, None means any.
    """

    finding: str
    package: str | None
    reason: str
    expires: dt.date

    def covers(self, finding: str, *, package: str | None) -> bool:
        """Return whether it is about this finding, expired or not."""
        return self.finding.lower() == finding.lower() and self.package in {None, package}

    def has_expired(self, today: dt.date) -> bool:
        """Return whether its last day is over."""
        return today > self.expires


@dataclass(frozen=True, kw_only=True)
class PackageLayer:
    """A layer and the patterns (a shell's, with ``*``) of the normalized names of its packages."""

    name: str
    patterns: tuple[str, ...]

    def takes(self, package: str) -> bool:
        """Return whether one of the patterns matches a package's normalized name."""
        return any(fnmatchcase(package, pattern) for pattern in self.patterns)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The combination of versions that an image is for, and how it is built.

    ``accelerator_version`` is None for cpu; ``index_url`` is None for the public index; ``name`` is None if
    the folder has the derived name. ``indexes`` are those beside the main one, ``redirect_hosts`` the hosts
    that an index may redirect to. ``layers`` are empty for the default; with ``bytecode`` the packages are
    compiled when they are installed.

    An image of another kind than a flavor has its parent's accelerator, torch and Training Hub, which are
    empty if the parent is no image of the repository; its base images are its parent. ``replaces`` are the
    packages of the parents that it installs in another version, ``provides`` requirements of one version
    each that it has by other means than its lock.
    """

    accelerator: str
    accelerator_version: str | None
    torch: str
    python: str
    training_hub: str
    index_url: str | None
    platforms: tuple[str, ...] = DEFAULT_PLATFORMS
    base_image: str
    downstream_base_image: str
    template_set: str = DEFAULT_TEMPLATE_SET
    glibc: str = DEFAULT_GLIBC
    name: str | None = None
    missing: tuple[Missing, ...] = ()
    indexes: tuple[FurtherIndex, ...] = ()
    redirect_hosts: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    hooks: Hooks = NO_HOOKS
    layers: tuple[PackageLayer, ...] = ()
    bytecode: bool = False
    kind: Kind = "flavor"
    replaces: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()

    @property
    def is_flavor(self) -> bool:
        """Return whether it has a flavor's keys, name and templates."""
        return self.kind == "flavor"

    @property
    def fixed_versions(self) -> dict[str, str]:
        """The versions that a flavor is named after, by package; empty for other kinds."""
        return {"torch": self.torch, "training-hub": self.training_hub} if self.is_flavor else {}

    @property
    def folder_name(self) -> str:
        """The name that the flavor's folder has to have."""
        return self.name or self.derived_name

    @property
    def package_layers(self) -> tuple[PackageLayer, ...]:
        """The layers of packages without ``rest``, which takes what they leave."""
        return self.layers or self.usual_layers

    @property
    def usual_layers(self) -> tuple[PackageLayer, ...]:
        """The layers of a spec that names none: a flavor's accelerator has one, and other kinds none."""
        return default_layers(self.accelerator) if self.is_flavor else ()

    def for_build_alone(self, package: str) -> bool:
        """Return whether a locked package is not in the image: in the layer `build` of a pytorch-base.

        ``package`` is its normalized name.
        """
        if self.kind != "pytorch-base":
            return False
        takers = (layer.name for layer in self.package_layers if layer.takes(package))
        return next(takers, None) == BUILD_LAYER

    @property
    def index_names(self) -> tuple[str, ...]:
        """The names of the indexes, the main one first."""
        return (MAIN_INDEX, *(index.name for index in self.indexes))

    def index_of(self, package: str) -> str:
        """Return the name of the index that a package, by its normalized name, comes from."""
        return next((index.name for index in self.indexes if package in index.packages), MAIN_INDEX)

    def url_of(self, index: str) -> str | None:
        """Return an index's URL by its name; None for the public index as main one."""
        return next((further.url for further in self.indexes if further.name == index), self.index_url)

    @property
    def derived_name(self) -> str:
        """The name that follows from the versions."""
        return derive_name(
            accelerator=self.accelerator,
            accelerator_version=self.accelerator_version,
            torch=self.torch,
            python=self.python,
            training_hub=self.training_hub,
        )

    @property
    def python_digits(self) -> str:
        """Python's major and minor version run together, as in ``py312``."""
        return self.python.replace(".", "")


def parse_spec(table: Mapping[str, object], *, where: str) -> Spec:
    """Read ``[tool.factory]``; ``where`` names the file in messages.

    Raises:
        SpecError: a key is missing, unknown, of the wrong type, or its value is not acceptable.
    """
    reader = _spec_reader(table, where)
    spec = Spec(
        accelerator=reader.text("accelerator"),
        accelerator_version=reader.optional_text("accelerator-version"),
        torch=reader.text("torch"),
        python=reader.text("python"),
        training_hub=reader.text("training-hub"),
        index_url=reader.optional_text("index-url"),
        platforms=reader.texts("platforms", DEFAULT_PLATFORMS),
        base_image=reader.text("base-image"),
        downstream_base_image=reader.text("downstream-base-image"),
        template_set=reader.optional_text("template-set") or DEFAULT_TEMPLATE_SET,
        glibc=reader.optional_text("glibc") or DEFAULT_GLIBC,
        name=reader.optional_text("name"),
        missing=_missing(reader),
        indexes=read_further_indexes(reader),
        redirect_hosts=reader.texts("redirect-hosts"),
        waivers=read_waivers(reader),
        hooks=read_hooks(reader),
        layers=read_layers(reader),
        bytecode=reader.flag("bytecode", default=False),
    )
    reader.refuse_the_rest()
    try:
        return check_spec(spec)
    except SpecError as error:
        raise SpecError(f"{where}: {error.reason}", solution=error.solution) from error


def _spec_reader(table: Mapping[str, object], where: str, example: str = SPEC_EXAMPLE) -> TableReader:
    reader = TableReader(
        table, where=where, name="tool.factory", example=example, written_by=written_by(table)
    )
    reader.optional_text(VERSION_KEY)
    return reader


_FLAVOR_KEYS = (
    "accelerator",
    "accelerator-version",
    "torch",
    "training-hub",
    "base-image",
    "downstream-base-image",
    "template-set",
    "name",
    "hooks",
)


def parse_child_spec(
    table: Mapping[str, object], *, where: str, kind: Kind, base: str, parent: Spec | None
) -> Spec:
    """Read ``[tool.factory]`` of an image that is no flavor; what it leaves out is its parent's.

    Args:
        table: the table; may be empty.
        where: names the file in messages.
        kind: the image's.
        base: its parent, a name or a reference.
        parent: the parent's spec; None if the parent is no image of the repository.

    Raises:
        SpecError: a key is missing, unknown, a flavor's or of the wrong type, its value is not acceptable, or
            Python or a platform is not the parent's.
    """
    reader = _spec_reader(table, where, IMAGES_EXAMPLE)
    for key in _FLAVOR_KEYS:
        if key in table:
            raise reader.refuse(
                key,
                f"the key is a flavor's, and this image is a {kind}",
                f"Remove it: a {kind} has the versions of its parent, which factory.toml names.",
            )
    python = reader.optional_text("python") or (None if parent is None else parent.python)
    if python is None:
        raise reader.refuse(
            "python",
            f"is missing, and the parent {base} is no image of this repository, whose Python would count",
            'Write, for instance, python = "3.12": the version that the parent has.',
        )
    spec = Spec(
        kind=kind,
        accelerator=parent.accelerator if parent else "",
        accelerator_version=parent.accelerator_version if parent else None,
        torch=parent.torch if parent else "",
        training_hub=parent.training_hub if parent else "",
        base_image=base,
        downstream_base_image=base,
        template_set=parent.template_set if parent else DEFAULT_TEMPLATE_SET,
        python=python,
        platforms=reader.texts("platforms", parent.platforms if parent else DEFAULT_PLATFORMS),
        glibc=reader.optional_text("glibc") or (parent.glibc if parent else DEFAULT_GLIBC),
        index_url=reader.optional_text("index-url") or (parent.index_url if parent else None),
        indexes=read_further_indexes(reader) if parent is None or "indexes" in table else parent.indexes,
        redirect_hosts=reader.texts("redirect-hosts", parent.redirect_hosts if parent else ()),
        missing=_missing(reader),
        waivers=read_waivers(reader),
        layers=read_layers(reader),
        bytecode=reader.flag("bytecode", default=False),
        replaces=_replaces(reader),
        provides=_provides(reader),
    )
    reader.refuse_the_rest()
    _refuse_other_place(reader, spec, base=base, parent=parent)
    try:
        _check_places(spec)
    except SpecError as error:
        raise SpecError(f"{where}: {error.reason}", solution=error.solution) from error
    return spec


def _replaces(table: TableReader) -> tuple[str, ...]:
    names = tuple(_package(table, name, key="replaces") for name in table.texts("replaces"))
    return tuple(sorted(set(names)))


def _provides(table: TableReader) -> tuple[str, ...]:
    for text in table.texts("provides"):
        try:
            clauses = list(parse_requirement(text).specifier)
        except InvalidRequirement:
            clauses = []
        if len(clauses) != 1 or clauses[0].operator != "==" or clauses[0].version.endswith(".*"):
            raise table.refuse(
                "provides",
                f"{text!r} is not a package with its version",
                "Write what the image has beside its lock as name==version, such as torch==2.11.0.",
            )
    return table.texts("provides")


def _refuse_other_place(reader: TableReader, spec: Spec, *, base: str, parent: Spec | None) -> None:
    """Refuse another Python than the parent's, and platforms for which there is no parent."""
    if parent is None:
        return
    if spec.python != parent.python:
        raise reader.refuse(
            "python",
            f"{spec.python!r}, and the parent {base} has Python {parent.python}",
            "Remove it: packages are installed for the parent's Python.",
        )
    if strange := [platform for platform in spec.platforms if platform not in parent.platforms]:
        raise reader.refuse(
            "platforms",
            f"the parent {base} is not built for {', '.join(strange)}",
            f"Use platforms of the parent ({', '.join(parent.platforms)}), or add them to it.",
        )


def check_spec(spec: Spec) -> Spec:
    """Return a flavor's spec all of whose values are acceptable together.

    Raises:
        SpecError: one of them is not; the message names it.
    """
    if spec.accelerator not in ACCELERATORS:
        raise SpecError(
            f"{spec.accelerator!r} is not an accelerator", solution=f"Use one of {', '.join(ACCELERATORS)}."
        )
    _check_accelerator_version(spec)
    check_version(spec.torch, of="torch")
    check_version(spec.training_hub, of="training-hub")
    _check_places(spec)
    check_image(spec.base_image, of="base-image")
    check_image(spec.downstream_base_image, of="downstream-base-image")
    check_template_set(spec.template_set)
    if spec.name is not None:
        check_name(spec.name)
    return spec


def _check_places(spec: Spec) -> None:
    """Check where packages come from and where they are installed."""
    check_glibc(spec.glibc)
    check_python(spec.python)
    if spec.index_url is not None:
        check_index_url(spec.index_url)
    for index in spec.indexes:
        check_index_url(index.url)
    for host in spec.redirect_hosts:
        check_host(host, of="redirect-hosts")
    if not spec.platforms or len(set(spec.platforms)) != len(spec.platforms):
        raise SpecError(
            "platforms is empty or names one twice", solution='Write, for instance, ["linux/amd64"].'
        )
    for platform in spec.platforms:
        check_platform(platform)


def _check_accelerator_version(spec: Spec) -> None:
    if spec.accelerator == "cpu":
        if spec.accelerator_version is not None:
            raise SpecError(
                f"cpu has no accelerator version, and {spec.accelerator_version!r} was given",
                solution="Leave the accelerator version out, or choose cuda or rocm.",
            )
        return
    if spec.accelerator_version is None:
        raise SpecError(
            f"{spec.accelerator} needs an accelerator version",
            solution="Give the full version, such as 13.0 for CUDA or 7.14 for ROCm.",
        )
    check_accelerator_version(spec.accelerator_version)


def _missing(table: TableReader) -> tuple[Missing, ...]:
    found = []
    for entry in table.tables("missing", keys=("requirement", "reason")):
        requirement, reason = entry.text("requirement"), entry.reason()
        try:
            parse_requirement(requirement)
        except InvalidRequirement as error:
            raise entry.refuse(
                "requirement",
                f"{requirement!r} is not a PEP 508 requirement",
                "Write it as it would stand in [project] dependencies, such as flash-attn>=2.8.",
            ) from error
        found.append(Missing(requirement=requirement, reason=reason))
    return tuple(found)


_INDEX_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


_INDEX_KEYS = ("name", "url", "packages")


def read_further_indexes(table: TableReader) -> tuple[FurtherIndex, ...]:
    """Read ``[[tool.factory.indexes]]``.

    Raises:
        SpecError: a name is not a plain word or is used twice, or an index has no packages, or one that
            another has too.
    """
    found: list[FurtherIndex] = []
    owners: dict[str, str] = {}
    for entry in table.tables("indexes", keys=_INDEX_KEYS):
        index = FurtherIndex(
            name=entry.text("name"),
            url=entry.text("url"),
            packages=tuple(_package(entry, name) for name in entry.texts("packages")),
        )
        if not _INDEX_NAME.fullmatch(index.name) or index.name == MAIN_INDEX:
            raise entry.refuse(
                "name",
                f"{index.name!r} cannot be the name of a further index",
                f"Use lower-case letters, digits and hyphens between them, and not {MAIN_INDEX!r}.",
            )
        if index.name in {other.name for other in found}:
            raise entry.refuse("name", f"{index.name!r} is given twice", "Give each index a name of its own.")
        if not index.packages:
            raise entry.refuse("packages", f"{index.name!r} has none", "Name what it serves, or remove it.")
        for package in index.packages:
            if package in owners:
                raise entry.refuse(
                    "packages",
                    f"{package} is given to {owners[package]!r} and to {index.name!r}",
                    "Give each package to one index.",
                )
            owners[package] = index.name
        found.append(index)
    return tuple(found)


def _package(entry: TableReader, name: str, *, key: str = "packages") -> str:
    normalized = canonicalize_name(name)
    if not is_normalized_name(normalized):
        raise entry.refuse(
            key,
            f"{name!r} is not the name of a package",
            "Write the name alone, such as flash-attn; versions belong into dependencies.",
        )
    return normalized


_WAIVER_KEYS = ("finding", "package", "reason", "expires")


def read_waivers(table: TableReader) -> tuple[Waiver, ...]:
    """Read ``[[tool.factory.waivers]]``.

    Raises:
        SpecError: one lacks its finding, its reason or its date.
    """
    waivers = []
    for entry in table.tables("waivers", keys=_WAIVER_KEYS):
        package = entry.optional_text("package")
        waivers.append(
            Waiver(
                finding=entry.reason("finding"),
                package=None if package is None else canonicalize_name(package),
                reason=entry.reason(),
                expires=entry.date("expires"),
            )
        )
    return tuple(waivers)


def waiver_for(
    waivers: Iterable[Waiver], finding: str, *, package: str | None, today: dt.date
) -> Waiver | None:
    """Return the waiver of a finding that has not expired; None without one."""
    return next(
        (
            waiver
            for waiver in waivers
            if waiver.covers(finding, package=package) and not waiver.has_expired(today)
        ),
        None,
    )


_LAYER_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


# They become arguments of package-layers.sh: normalized names (PEP 503) and the star.
_LAYER_PATTERN = re.compile(r"[a-z0-9*]+(?:-[a-z0-9*]+)*")


def read_layers(table: TableReader) -> tuple[PackageLayer, ...]:
    """Read ``[tool.factory.layers]``, in its order; empty without such a table.

    Raises:
        SpecError: a name is not a layer's, is ``rest``, or a pattern could not be in the Dockerfile.
    """
    layers = table.table("layers")
    return tuple(
        PackageLayer(name=_layer_name(layers, name), patterns=_layer_patterns(layers, name))
        for name in layers.keys
    )


def _layer_name(table: TableReader, name: str) -> str:
    if not _LAYER_NAME.fullmatch(name) or name == REST:
        raise table.refuse(
            name,
            f"{name!r} cannot be the name of a layer",
            f"Use lower-case letters, digits and hyphens, and not {REST}, which holds what no layer names.",
        )
    return name


def _layer_patterns(table: TableReader, name: str) -> tuple[str, ...]:
    patterns = table.texts(name)
    if not patterns:
        raise table.refuse(name, "it names no package", "Name packages, or leave the layer out.")
    for pattern in patterns:
        if not _LAYER_PATTERN.fullmatch(pattern):
            raise table.refuse(
                name,
                f"{pattern!r} is not a pattern of package names",
                "Write names in their normal form, lower case with hyphens, such as nvidia-* or torch.",
            )
    return patterns


_TORCH = ("torch", "torchaudio", "torchvision")


_STACKS = {
    "cpu": _TORCH,
    "cuda": (*_TORCH, "triton", "pytorch-triton*", "nvidia-*", "cuda-*"),
    "rocm": (*_TORCH, "triton*", "pytorch-triton*", "amd-*", "rocm*"),
}


def default_layers(accelerator: str) -> tuple[PackageLayer, ...]:
    """Return the layers of a flavor that names none: the accelerator's stack."""
    return (PackageLayer(name=ACCELERATOR, patterns=_STACKS[accelerator]),)


def layer_of(package: str, layers: Iterable[PackageLayer]) -> str:
    """Return the name of the first layer that takes a package, by its normalized name."""
    return next((layer.name for layer in layers if layer.takes(package)), REST)


_FOLDER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


# Pipelines name their runs after the flavor; a Kubernetes label holds at most 63 characters.
MAX_NAME_LENGTH = 63


def derive_name(
    *, accelerator: str, accelerator_version: str | None, torch: str, python: str, training_hub: str
) -> str:
    """Return the default name, such as ``th09-cuda130-torch2110-py312``.

    Digits run together: major and minor of Training Hub, accelerator and Python, and major, minor
    and patch of torch. The result cannot be read back (``torch210`` may be 2.1.0 or 2.10.0), which
    is why the spec holds the versions.
    """
    return "-".join(
        (
            f"th{_digits(training_hub, 2)}",
            accelerator if accelerator_version is None else accelerator + _digits(accelerator_version, 2),
            f"torch{_digits(torch, 3)}",
            f"py{_digits(python, 2)}",
        )
    )


def check_name(name: str) -> str:
    """Return a name that can be a folder directly under ``flavors/`` and a pipeline's name.

    Raises:
        SpecError: it is a path, or has characters that a folder, a tag or a pipeline would not take.
    """
    if "/" in name or "\\" in name or name in {".", ".."}:
        raise SpecError(
            f"the name {name!r} leaves flavors/",
            solution="Give a plain folder name: a flavor is directly under flavors/.",
        )
    if not _FOLDER_NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise SpecError(
            f"the name {name!r} is not a flavor name",
            solution=f"Use at most {MAX_NAME_LENGTH} lower-case letters, digits and hyphens between them.",
        )
    return name


def _digits(version: str, parts: int) -> str:
    release = Version(version).release
    padded = (*release, *([0] * parts))[:parts]
    return "".join(str(number) for number in padded)
