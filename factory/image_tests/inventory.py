"""Read an image's content: its Python packages, its locks and its layers."""

from collections.abc import Iterable, Mapping
from typing import Any

from packaging.utils import canonicalize_name

from factory.engine.images import IMAGE_LABEL
from factory.errors import FactoryError, ImageTestError
from factory.image_tests.container import Conditions
from factory.image_tests.context import Context
from factory.image_tests.report import ImageLayer, ImagePackage
from factory.image_tests.subject import HistoryStep
from factory.lock.lockset import parse_lock_set, read_lock_set

# As root and without a temporary file system over the image's files: it only reads, and sees everything.
LOOKING = Conditions(user="0:0", tmpfs=())
_LOCK_SUFFIX = ".txt"
# An image's answer may lack or contain anything: these errors are the outcome of a test, and must not end the
# run without a report.
MALFORMED_ANSWER = (LookupError, TypeError, ValueError, AttributeError)


def contents(context: Context, *, base: bool = False) -> dict[str, Any]:
    """Return the answer of ``inside/contents.py`` for the image, or for its base image."""
    found: dict[str, Any] = context.probe("contents.py", conditions=LOOKING, base=base)
    return found


def base_contents(context: Context) -> dict[str, Any] | None:
    """Return the base image's contents; None if the engine lacks it, or it has no Python."""
    if context.base is None:
        return None
    try:
        return contents(context, base=True)
    except ImageTestError as error:
        if error.out_of_time:
            raise
        return None


def locked_versions(context: Context) -> dict[str, str] | None:
    """Return the locked packages by the lock files in the image, else by its flavor's; None without any.

    Each image of the line has its own; what an image locks replaces what its parents lock.

    Raises:
        LockFileError: one of them is not UTF-8.
    """
    texts = {name: text for name, text in contents(context)["locks"].items() if name.endswith(_LOCK_SUFFIX)}
    if texts:
        line = [definition.name for definition in context.subject.lineage.definitions]
        own = context.subject.configuration.labels.get(IMAGE_LABEL, "")
        order = [*reversed(line or [own])]
        folders = sorted({name.rpartition("/")[0] for name in texts})
        folders.sort(key=lambda folder: order.index(folder) if folder in order else -1)
        return _versions_of(texts, folders)
    flavor = context.subject.lineage.nearest_flavor
    locks = None if flavor is None else read_lock_set(flavor.folder, flavor.project.spec)
    return None if locks is None else locks.versions()


def _versions_of(texts: Mapping[str, str], folders: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in folders:
        own = {name: text for name, text in texts.items() if name.rpartition("/")[0] == folder}
        found |= parse_lock_set(own).versions()
    return found


def installed_packages(context: Context) -> tuple[ImagePackage, ...]:
    """Return the Python packages of the image by name; empty if its Python does not answer."""
    context.deadline = float("inf")
    try:
        return _packages(contents(context)["packages"], locked_versions(context) or {})
    except (FactoryError, *MALFORMED_ANSWER):
        return ()


def _packages(found: list[dict[str, Any]], locked: Mapping[str, str]) -> tuple[ImagePackage, ...]:
    return tuple(
        ImagePackage(
            name=package["name"],
            version=package["version"],
            size=package["size"],
            locked=locked.get(canonicalize_name(package["name"])) == package["version"],
        )
        for package in sorted(found, key=lambda package: package["name"].lower())
    )


def match_layers(digests: tuple[str, ...], steps: tuple[HistoryStep, ...]) -> tuple[ImageLayer, ...]:
    """Return the layers from the bottom up, each with its history step's size and instruction.

    History also has steps without a layer (OCI image-spec, empty_layer), which are those of size 0. If the
    numbers do not match, the layers have no size and no instruction.
    """
    made = [step for step in steps if step.size]
    # A layer may be empty, too: then the steps match only if they are as many as the layers.
    matched = made if len(made) == len(digests) else steps if len(steps) == len(digests) else ()
    matched = matched or [HistoryStep(size=0, text="")] * len(digests)
    return tuple(
        ImageLayer(digest=digest, size=step.size, created_by=step.text)
        for digest, step in zip(digests, matched, strict=True)
    )
