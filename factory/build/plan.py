"""Plan a build: which images, from what, under which names. Nothing changes here."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from factory.dockerfile.references import check_tag
from factory.engine.engine import Engine, find_engine
from factory.engine.images import EngineImage, find_image
from factory.errors import DriftError, EngineError, SpecError
from factory.flavor.repository import Flavor, Repository
from factory.images.catalogue import read_catalogue
from factory.images.definitions import VariantOptions, local_reference
from factory.images.inputs import InputFile
from factory.images.plan import PlanRequest, Step, plan_images
from factory.lock.judgement import require_sound_lock
from factory.prefetch.layout import MOUNT_POINT
from factory.registry.declared import Registry
from factory.render.drift import find_drift


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build. None means what the settings say; no ``names`` are all images of the repository.

    ``hermetic``: from prefetched folders, without a network, for the whole chain; always a downstream build,
    since the midstream one installs system packages. ``prefetched`` is that folder of one image, by default
    one for each image under ``work``.
    ``force``: build what exists already, and use nothing of earlier builds. ``verify``: build twice that way,
    and compare. ``jobs`` is how many images may be built at a time. ``layout``: the folder of an OCI layout
    to build the image in, without a network, instead of the engine's storage.
    """

    work: Path
    names: tuple[str, ...] = ()
    downstream: bool | None = None
    hermetic: bool = False
    base_image: str | None = None
    tag: str | None = None
    prefetched: Path | None = None
    engine: str | None = None
    jobs: int = 1
    force: bool = False
    pull: bool = False
    verify: bool = False
    layout: Path | None = None

    @property
    def is_hermetic(self) -> bool:
        """Return whether the build has no network."""
        return self.hermetic or self.prefetched is not None or self.layout is not None

    @property
    def variant(self) -> VariantOptions:
        """The variant that the options mean."""
        return VariantOptions(
            downstream=True if self.is_hermetic else self.downstream,
            base_image=self.base_image,
            builder=None if self.layout is None else "layout",
        )

    @property
    def forced_by(self) -> str:
        """The option that forces a build of existing images; empty without one."""
        options = (
            ("--force", self.force),
            ("--verify-reproducible", self.verify),
            ("--layout", self.layout is not None),
        )
        return next((option for option, given in options if given), "")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One image of a build: its step in the plan, and the moving name that it gets last.

    ``hermetic``: it is built without a network, from the folder ``prefetched`` if it installs packages.
    ``layout`` is the folder of the OCI layout to build it in; None for the engine's storage. ``asked``: it
    was asked for, and is not only a parent of what was.
    """

    step: Step
    moving: str
    asked: bool
    hermetic: bool
    prefetched: Path | None
    layout: Path | None

    @property
    def name(self) -> str:
        """The image's name."""
        return self.step.name

    @property
    def dockerfile(self) -> Path:
        """Its Dockerfile."""
        return self.step.definition.folder / self.step.definition.dockerfile

    @property
    def arguments(self) -> dict[str, str]:
        """Its build arguments, its parents among them."""
        parents = {parent.argument: parent.reference for parent in self.step.parents}
        return {**dict(self.step.definition.build_args), **parents}

    @property
    def files(self) -> Mapping[str, InputFile]:
        """Its declared inputs, by path in its folder."""
        return {} if self.step.inputs is None else self.step.inputs.files


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """A build that can be started, parents first.

    ``digests`` are to be recorded in ``parents.json``; ``stored`` is what the engine had at that time.
    """

    root: Path
    request: BuildRequest
    engine: Engine
    targets: tuple[Target, ...]
    registries: Mapping[str, Registry]
    digests: Mapping[str, str]
    stored: Mapping[str, EngineImage | None]

    @property
    def asked(self) -> tuple[Target, ...]:
        """Return the targets that were asked for."""
        return tuple(target for target in self.targets if target.asked)


def plan_build(repository: Repository, request: BuildRequest) -> BuildPlan:
    """Check that a build can be started. Nothing is built or written.

    Raises:
        LockFileError: a flavor is not locked, or its lock is older than its pyproject.toml.
        DriftError: its folder is not as rendered.
        SpecError: ``factory.toml``, the base image or the tag is not acceptable.
        EngineError: there is no engine, or it lacks what a build without a network needs.
        ImageError, NotFoundError, RegistryError: as for `plan_images`.
    """
    _refuse_unclear(request)
    engine = find_engine(request.engine)
    catalogue = read_catalogue(repository)
    named = catalogue.select(request.names) if request.names else ()
    for image in named:
        if image.packages is not None:
            require_buildable(image.packages)
    plan = plan_images(
        repository,
        PlanRequest(
            names=request.names,
            variant=request.variant,
            pull=request.pull,
            forced_by=request.forced_by,
            engine=request.engine,
        ),
    )
    names = {image.name for image in named}
    steps = [step for step in plan.steps if step.action != "blocked"]
    targets = tuple(_target(step, request, asked=not names or step.name in names) for step in steps)
    for target in targets:
        _require_layers(target, request)
        if target.step.action == "build":
            if target.name not in names and target.step.definition.packages is not None:
                require_buildable(target.step.definition.packages)
            _require_possible(engine, target)
    return BuildPlan(
        root=repository.root,
        request=request,
        engine=engine,
        targets=targets,
        registries=catalogue.registries,
        digests=plan.digests,
        stored=plan.stored,
    )


def require_buildable(flavor: Flavor) -> None:
    """Check that an image's folder agrees with its ``pyproject.toml``.

    Raises:
        LockFileError, DriftError: it does not; the message says what to do.
    """
    require_sound_lock(flavor)
    drifted = [difference.path for difference in find_drift(flavor) if difference.kind != "stray"]
    if drifted:
        raise DriftError(
            f"{flavor.name} has drifted from its templates: {', '.join(drifted)}",
            solution=f"Run `factory sync {flavor.name}`; changes belong into pyproject.toml.",
        )


def build_options(target: Target, engine: Engine, *, dockerfile: Path) -> tuple[str, ...]:
    """Return the options of one build of a whole Dockerfile: docker's, or podman's by hand."""
    arguments = ["--file", str(dockerfile), "--tag", target.step.local or target.moving]
    # A digest recorded in parents.json takes precedence: the engine would read the name alone.
    pinned = {parent.argument: parent.pinned for parent in target.step.parents if parent.pinned}
    for name, value in {**target.arguments, **pinned}.items():
        arguments += ["--build-arg", f"{name}={value}"]
    if target.hermetic:
        arguments += ["--network", "none"]
        arguments += ["--pull=never"] if engine.kind == "podman" else []
    if target.prefetched is not None and engine.kind == "podman":
        arguments += prefetched_volume(target.prefetched)
    elif target.prefetched is not None:
        arguments += ["--build-context", f"prefetched={target.prefetched}"]
    return tuple(arguments)


def prefetched_volume(folder: Path) -> tuple[str, str]:
    """Return podman's option that mounts a prefetched folder."""
    # z: with SELinux, the container could not read the folder otherwise.
    return ("--volume", f"{folder}:{MOUNT_POINT}:ro,z")


def shell_command(target: Target, engine: Engine) -> str:
    """Return the command that builds by hand, in one step, what the factory builds in parts."""
    options = build_options(target, engine, dockerfile=target.dockerfile)
    return shlex.join((engine.kind, "build", *options, "--", str(target.step.definition.folder)))


def _refuse_unclear(request: BuildRequest) -> None:
    for option, value, most in (
        ("--tag", request.tag, 1),
        ("--prefetched", request.prefetched, 1),
        ("--base-image", request.base_image, len(request.names)),
        ("--layout", request.layout, 1),
    ):
        if value is not None and not 0 < len(request.names) <= most:
            raise SpecError(
                f"{option} does not say for which image it is", solution="Name one IMAGE with it."
            )
    if request.tag is not None:
        check_tag(request.tag)


def _target(step: Step, request: BuildRequest, *, asked: bool) -> Target:
    definition = step.definition
    place = request.layout or request.work / "layouts" / step.name
    layout = place.absolute() if definition.builder == "layout" else None
    # The chain is built as its images are: parents that have to be built are hermetic as well.
    hermetic = request.is_hermetic or layout is not None
    given = request.prefetched if asked else None
    folder = given or request.work / "prefetched" / step.name
    moving = local_reference(step.name, definition.moving_tag)
    return Target(
        step=step,
        moving=request.tag if request.tag is not None and asked else moving,
        asked=asked,
        hermetic=hermetic,
        prefetched=folder.absolute() if hermetic and definition.packages is not None else None,
        layout=layout,
    )


def _require_layers(target: Target, request: BuildRequest) -> None:
    if target.asked and request.layout is not None and target.layout is None:
        raise SpecError(
            f"{target.name} is no flavor, and has no layers of packages",
            solution="Build it with the engine: without --layout.",
        )


def _require_possible(engine: Engine, target: Target) -> None:
    if target.prefetched is not None and engine.kind == "podman" and ":" in str(target.prefetched):
        raise EngineError(
            f"podman cannot mount {target.prefetched}: a colon ends a path in its --volume",
            solution="Prefetch into a folder without a colon in its path, and name it with --prefetched.",
        )
    for parent in target.step.parents if target.hermetic else ():
        reference = parent.pinned or parent.reference
        if parent.image is None and find_image(engine, reference) is None:
            raise EngineError(
                f"{engine.kind} does not have the base image {reference}, and a build without a network "
                "pulls nothing",
                solution=f"Run `{engine.kind} pull {reference}` first, or name another with --base-image.",
            )
