"""Build a flavor's image with the container engine."""

import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from factory.console import Progress
from factory.errors import DriftError, EngineError, LockFileError
from factory.flavor.references import check_image, check_tag
from factory.flavor.repository import Flavor
from factory.hermetic.layout import MOUNT_POINT
from factory.hermetic.plan import Fetching
from factory.hermetic.prefetch import Prefetched, prefetch_flavor
from factory.image.dockerfile import mount_in_every_run
from factory.image.engine import Engine, find_engine, find_image, run_engine
from factory.lock.inputs import inputs_digest
from factory.lock.lockset import require_lock_set
from factory.render.drift import find_drift

_MIDSTREAM, _DOWNSTREAM = "Dockerfile", "Dockerfile.konflux"


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build. None means the default.

    ``hermetic``: from a prefetched folder, without a network, which is a downstream build always: the
    midstream one installs system packages. ``prefetched`` is that folder, by default one for the
    flavor under ``work``.
    """

    work: Path
    downstream: bool = False
    hermetic: bool = False
    base_image: str | None = None
    tag: str | None = None
    prefetched: Path | None = None
    engine: str | None = None


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """A build that can be started. ``prefetched`` is None where the build has a network."""

    flavor: Flavor
    engine: Engine
    dockerfile: Path
    base_image: str
    tag: str
    prefetched: Path | None


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image that was built.

    ``size`` is that of its layers in bytes, uncompressed, and ``added`` what it has over its base image,
    None where that is not at hand; ``seconds`` are the engine's alone.
    """

    flavor: str
    tag: str
    id: str
    base_image: str
    prefetched: Prefetched | None
    size: int
    added: int | None
    seconds: float


def plan_build(flavor: Flavor, request: BuildRequest) -> BuildPlan:
    """Check that a build can be started. Nothing is built or written.

    Raises:
        LockFileError: the flavor is not locked, or its lock is older than its pyproject.toml.
        DriftError: its folder is not as rendered.
        SpecError: the base image or the tag is not an image reference.
        EngineError: there is no engine, or it lacks what a build without a network needs.
    """
    spec = flavor.project.spec
    hermetic = request.hermetic or request.prefetched is not None
    downstream = request.downstream or hermetic
    default_base = spec.downstream_base_image if downstream else spec.base_image
    default_tag = f"localhost/{flavor.name}:{'downstream' if downstream else 'latest'}"
    folder = request.prefetched or request.work / "prefetched" / flavor.name
    plan = BuildPlan(
        flavor=flavor,
        engine=find_engine(request.engine),
        dockerfile=flavor.folder / (_DOWNSTREAM if downstream else _MIDSTREAM),
        base_image=check_image(request.base_image or default_base, of="the base image"),
        tag=check_tag(request.tag or default_tag),
        prefetched=folder.absolute() if hermetic else None,
    )
    require_buildable(flavor)
    if plan.prefetched is not None:
        _require_mountable(plan, plan.prefetched)
        _require_base_image(plan)
    return plan


def require_buildable(flavor: Flavor) -> None:
    """Check that what is in the folder is what its ``pyproject.toml`` says.

    Raises:
        LockFileError, DriftError: it is not; the message says what to do.
    """
    locks = require_lock_set(flavor.folder, flavor.project.spec)
    if locks.inputs != inputs_digest(flavor.project):
        raise LockFileError(
            f"{flavor.name}: pyproject.toml was changed after it was locked",
            solution=f"Run `factory lock {flavor.name}` first.",
        )
    drifted = [difference.path for difference in find_drift(flavor) if difference.kind != "stray"]
    if drifted:
        raise DriftError(
            f"{flavor.name} has drifted from its templates: {', '.join(drifted)}",
            solution=f"Run `factory sync {flavor.name}`; changes belong into pyproject.toml.",
        )


def build_flavor(plan: BuildPlan, *, fetching: Fetching, progress: Progress) -> BuiltImage:
    """Build an image, from a complete prefetched folder where the plan has one.

    The engine's output goes to standard error.

    Raises:
        EngineError: the engine failed.
        PrefetchError, IndexAccessError, StorageError, BusyError: as for `prefetch_flavor`.
    """
    prefetched = None
    if plan.prefetched is not None:
        prefetched = prefetch_flavor(plan.flavor, plan.prefetched, fetching=fetching, progress=progress)
    start = time.monotonic()
    with _dockerfile(plan) as dockerfile:
        run_engine(plan.engine, build_arguments(plan, dockerfile), solution=_solution(plan))
    seconds = time.monotonic() - start
    image = find_image(plan.engine, plan.tag)
    if image is None:
        raise EngineError(
            f"{plan.engine.kind} ended well and does not have {plan.tag}",
            solution="Look at what it said above, and at its storage settings.",
        )
    base = find_image(plan.engine, plan.base_image)
    return BuiltImage(
        flavor=plan.flavor.name,
        tag=plan.tag,
        id=image.id,
        base_image=plan.base_image,
        prefetched=prefetched,
        size=image.size,
        added=None if base is None else image.size - base.size,
        seconds=round(seconds, 1),
    )


def build_arguments(plan: BuildPlan, dockerfile: Path) -> tuple[str, ...]:
    """The engine's arguments for a build of ``dockerfile``."""
    arguments = ["build", "--file", str(dockerfile), "--tag", plan.tag]
    arguments += ["--build-arg", f"BASE_IMAGE={plan.base_image}"]
    if plan.prefetched is not None:
        arguments += ["--network", "none"]
        if plan.engine.kind == "podman":
            # z: where SELinux is on, the container may not read the folder otherwise.
            arguments += ["--pull=never", "--volume", f"{plan.prefetched}:{MOUNT_POINT}:ro,z"]
        else:
            arguments += ["--build-context", f"prefetched={plan.prefetched}"]
    return (*arguments, str(plan.flavor.folder))


def shell_command(plan: BuildPlan) -> str:
    """The command of a build as it would be typed."""
    return shlex.join((plan.engine.kind, *build_arguments(plan, plan.dockerfile)))


@contextmanager
def _dockerfile(plan: BuildPlan) -> Iterator[Path]:
    """The Dockerfile as the engine needs it."""
    if plan.prefetched is None or plan.engine.kind == "podman":
        yield plan.dockerfile
        return
    text = plan.dockerfile.read_text(encoding="utf-8")
    mount = f"type=bind,from=prefetched,target={MOUNT_POINT}"
    with tempfile.TemporaryDirectory() as folder:
        rewritten = Path(folder) / plan.dockerfile.name
        rewritten.write_text(mount_in_every_run(text, mount), encoding="utf-8")
        yield rewritten


def _require_mountable(plan: BuildPlan, folder: Path) -> None:
    if plan.engine.kind == "podman" and ":" in str(folder):
        raise EngineError(
            f"podman cannot mount {folder}: a colon ends a path in its --volume",
            solution="Prefetch into a folder without a colon in its path, and name it with --prefetched.",
        )


def _require_base_image(plan: BuildPlan) -> None:
    if find_image(plan.engine, plan.base_image) is None:
        raise EngineError(
            f"{plan.engine.kind} does not have the base image {plan.base_image}, and a build without a "
            "network pulls nothing",
            solution=f"Run `{plan.engine.kind} pull {plan.base_image}` first, or name another with "
            "--base-image.",
        )


def _solution(plan: BuildPlan) -> str:
    if plan.prefetched is not None:
        return f"Mend what it names, and run it by hand to see more: {shell_command(plan)}"
    return (
        "Where the base image cannot be pulled, name another with --base-image; where the index cannot be "
        f"reached, build with --hermetic. By hand: {shell_command(plan)}"
    )
