"""The spec of a flavor: the table ``[tool.factory]`` of its ``pyproject.toml``, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

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
from factory.errors import SpecError
from factory.flavor.hooks import NO_HOOKS, Hooks, read_hooks
from factory.flavor.indexes import MAIN_INDEX, FurtherIndex, read_further_indexes
from factory.flavor.layers import PackageLayer, default_layers, read_layers
from factory.flavor.name import check_name, derive_name
from factory.flavor.table import Table
from factory.flavor.waiver import Waiver, read_waivers

ACCELERATORS = ("cuda", "rocm", "cpu")
DEFAULT_PLATFORMS = ("linux/amd64",)
DEFAULT_TEMPLATE_SET = "universal"
# The C library of UBI 9 and RHEL 9, on which the base images stand; it bounds the manylinux tags.
DEFAULT_GLIBC = "2.34"


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A requirement that the image should have and its index lacks, with the reason."""

    requirement: str
    reason: str

    @property
    def package(self) -> str:
        """The normalized name of the package (PEP 503)."""
        return canonicalize_name(Requirement(self.requirement).name)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What one flavor is made for.

    ``accelerator_version`` is None for cpu; ``index_url`` is None where the flavor is locked
    against the public index; ``name`` is None where the folder has the derived name. ``indexes`` are
    those beside the main one, ``redirect_hosts`` the hosts that an index may send a request on to.
    ``layers`` are those of packages that it names, empty for the default; ``bytecode`` is whether what they
    install is compiled.
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

    @property
    def folder_name(self) -> str:
        """The name that the flavor's folder has to have."""
        return self.name or self.derived_name

    @property
    def package_layers(self) -> tuple[PackageLayer, ...]:
        """The layers of packages without the last, ``rest``, which takes what they leave."""
        return self.layers or default_layers(self.accelerator)

    @property
    def index_names(self) -> tuple[str, ...]:
        """The names of the indexes, the main one first."""
        return (MAIN_INDEX, *(index.name for index in self.indexes))

    def index_of(self, package: str) -> str:
        """The name of the one index that a package, by its normalized name, comes from."""
        return next((index.name for index in self.indexes if package in index.packages), MAIN_INDEX)

    def url_of(self, index: str) -> str | None:
        """The URL of an index by its name; None for a main index that is the public one."""
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
    reader = Table(table, where=where, name="tool.factory")
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


def check_spec(spec: Spec) -> Spec:
    """Return a spec all of whose values are acceptable together.

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
    check_image(spec.base_image, of="base-image")
    check_image(spec.downstream_base_image, of="downstream-base-image")
    check_template_set(spec.template_set)
    if spec.name is not None:
        check_name(spec.name)
    return spec


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


def _missing(table: Table) -> tuple[Missing, ...]:
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
