"""Build an image with the container engine: podman part by part, docker in one go."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

from factory.build.compare import compare_images
from factory.build.parts import BuiltPart, PartBuilder
from factory.build.plan import build_options
from factory.build.prepare import Prepared
from factory.build.report import BuiltImage, existing_image
from factory.dockerfile.model import mount_in_every_run, read_dockerfile
from factory.engine.engine import (
    Engine,
    Operand,
    call_engine,
    create_container,
    remove_container,
    run_engine,
)
from factory.engine.images import (
    EngineImage,
    find_image,
    label_instruction,
    remove_image,
    tag_image,
)
from factory.engine.leftovers import ContainerOwner
from factory.errors import EngineError
from factory.files import scratch_folder, storage_error, temporary_sibling
from factory.prefetch.layout import MOUNT_POINT
from factory.tree import Tree

ARTIFACT_STAGE = "wheel"
"""The stage of ``templates/pytorch-base`` that holds only what took hours to compile."""


class EngineBuilder:
    """Builds images in the engine's storage."""

    def notes(self, folders: Path, name: str) -> Path:
        """Return the folder with an image's notes."""
        return folders / name

    def build(self, prepared: Prepared) -> BuiltImage:
        """Build an image; on request twice, and compare.

        Raises:
            EngineError: the engine failed.
            ProgramError: the engine is missing, or the run was interrupted.
        """
        target, engine = prepared.target, prepared.engine
        start = time.monotonic()
        parts: list[BuiltPart] = []
        difference = None
        if engine.kind == "docker":
            _build_with_docker(prepared)
            image = find_image(engine, target.step.local or "")
        else:
            builder = PartBuilder(prepared)
            image = find_image(engine, builder.build_all())
            parts = builder.parts
            difference = _build_again(prepared, parts) if prepared.twice else None
        seconds = time.monotonic() - start
        if image is None:
            raise EngineError(
                f"{engine.kind} ended well and does not have {target.name}",
                solution="Look at its output above, and at its storage settings.",
            )
        parent = target.step.parents[0]
        base = find_image(engine, parent.pinned or parent.reference)
        return replace(
            existing_image(target, image, base),
            action="built" if difference is None else "differs",
            prefetched=prepared.prefetched,
            seconds=round(seconds, 1),
            parts=tuple(part.title for part in parts if not part.kept),
            difference=difference,
            artifacts=_keep_artifacts(prepared, parts),
        )

    def publish_names(self, prepared: Prepared, image: BuiltImage) -> None:
        """Tag an image with its names, the moving one last; none if two builds of it differ.

        Raises:
            ProgramError: the engine failed.
        """
        if image.difference is None and image.id is not None:
            tag_image(prepared.engine, image.id, image.identity_tag, image.tag)


def _build_with_docker(prepared: Prepared) -> None:
    """Build in one go: docker has no --timestamp, and its layers keep their creation times."""
    text = prepared.dockerfile
    if prepared.target.prefetched is not None:
        text = mount_in_every_run(text, f"type=bind,from=prefetched,target={MOUNT_POINT}")
    plain = read_dockerfile(text).escape == "\\"
    ending = label_instruction(prepared.labels) if plain else ""
    pairs = () if plain else prepared.labels.items()
    labels = [word for name, value in pairs for word in ("--label", f"{name}={value}")]
    with scratch_folder() as folder:
        dockerfile = folder / "Dockerfile"
        dockerfile.write_text(f"{text.rstrip()}\n{ending}", encoding="utf-8")
        run_engine(
            prepared.engine,
            "build",
            *labels,
            *build_options(prepared.target, prepared.engine, dockerfile=dockerfile),
            operands=[Operand.path(prepared.context)],
            solution="Fix what it names.",
            log=prepared.log,
        )


def _build_again(prepared: Prepared, first: list[BuiltPart]) -> str | None:
    """Build all parts again without earlier ones; return the difference, None without one."""
    engine, name = prepared.engine, prepared.target.name
    prepared.say(f"{name}: once more, to compare")
    builder = PartBuilder(prepared, kept=False)
    builder.build_all()
    second = builder.parts
    try:
        images = [find_image(engine, parts[-1].image) for parts in (first, second)]
        if images[0] is None or images[1] is None:
            raise EngineError(
                f"an image of {name} was removed from the engine while it was compared",
                solution="Run the same command again, and nothing beside it that removes images.",
            )
        return _difference(prepared, images[0], images[1], first)
    finally:
        kept = {part.image for part in first}
        for part in reversed(second):
            if part.image not in kept:
                remove_image(engine, part.image)


def _difference(
    prepared: Prepared, one: EngineImage, other: EngineImage, parts: list[BuiltPart]
) -> str | None:
    found = compare_images(prepared.engine, one, other)
    if found is None:
        return None
    if found.layer is None:
        return "the layers are the same; the settings of the images (labels, environment, history) differ"
    # Every part is one layer; those below are the base image's.
    steps = [part for part in parts if not part.title.startswith("stage ")]
    number = found.layer - (len(one.layers) - len(steps))
    title = steps[number].title if 0 <= number < len(steps) else "the base image"
    where = f"layer {found.layer + 1} of {len(one.layers)} ({title})"
    if found.file is None:
        return f"{where}: the same files in another form"
    file = found.file
    return f"{where}: {file.path} differs in its {file.kind}: {file.first} and {file.second}"


def _keep_artifacts(prepared: Prepared, parts: list[BuiltPart]) -> Path | None:
    """Keep the files that a build makes beside its image; return their folder, or None."""
    stage = next((part for part in parts if part.title == f"stage {ARTIFACT_STAGE}"), None)
    if stage is None or prepared.target.step.definition.kind != "pytorch-base":
        return None
    folder = (prepared.owner.notes / ARTIFACT_STAGE).absolute()
    return keep_artifacts(prepared.engine, stage.image, folder, owner=prepared.owner)


def keep_artifacts(engine: Engine, image: str, folder: Path, *, owner: ContainerOwner) -> Path:
    """Copy all files of a stage's image into a folder, which replaces an earlier one.

    Args:
        engine: where the image is.
        image: the ID of the stage's image.
        folder: where they go; the caller holds the lock of what it belongs to.
        owner: of the container that this creates.

    Raises:
        EngineError: the engine cannot copy them, or one is a link or a device.
        StorageError: the file system refused; the earlier folder is still there.
    """
    new, old = temporary_sibling(folder), temporary_sibling(folder)
    try:
        new.mkdir(parents=True)
        container = create_container(engine, image, "--label", owner.label)
        try:
            done = call_engine(engine, "cp", operands=[Operand.inside(container, "/."), Operand.path(new)])
        finally:
            remove_container(engine, container)
        if done.status != 0:
            raise EngineError(
                f"{engine.kind} cannot copy the files of the stage {ARTIFACT_STAGE}: {done.stderr.strip()}",
                solution="Check whether the disk is full, and build again: what was built is kept.",
            )
        _require_files(new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
    return folder


def _require_files(folder: Path) -> None:
    """Refuse what could lead elsewhere on this machine, or block its reader."""
    with Tree.opened(folder) as tree:
        for entry in tree.walk():
            if not (entry.is_file or entry.is_folder):
                raise EngineError(
                    f"/{entry.path} of the stage {ARTIFACT_STAGE} is no file",
                    solution="Have the stage make files and folders alone.",
                )
