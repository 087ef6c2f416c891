"""What is in an image: its Python packages and its layers."""

from typing import Any

from packaging.utils import canonicalize_name

from factory.errors import FactoryError, ImageTestError
from factory.image_tests.container import Conditions
from factory.image_tests.context import Context
from factory.image_tests.report import ImageLayer, ImagePackage
from factory.image_tests.subject import HistoryStep
from factory.lock.lockset import LockSet, parse_lock_set, read_lock_set

# As root and without a temporary file system over what is there: it only looks, and sees everything.
LOOKING = Conditions(user="0:0", tmpfs=())
_LOCK_SUFFIX = ".txt"
# An image is judged by what it tells itself, which may lack or be anything: that is its test's outcome, and
# no end of the whole run without a report.
NOT_AS_TOLD = (LookupError, TypeError, ValueError, AttributeError)


def contents(context: Context, *, base: bool = False) -> dict[str, Any]:
    """What ``inside/contents.py`` tells of the image, or of its base image."""
    found: dict[str, Any] = context.probe("contents.py", conditions=LOOKING, base=base)
    return found


def base_contents(context: Context) -> dict[str, Any] | None:
    """The same of the base image; None where that is not at hand, or has no Python to ask."""
    if context.base is None:
        return None
    try:
        return contents(context, base=True)
    except ImageTestError as error:
        if error.out_of_time:
            raise
        return None


def locks_of(context: Context) -> LockSet | None:
    """The lock files that lie in the image, else those of its flavor's folder; None where there are none.

    Raises:
        LockFileError: one of them is not UTF-8.
    """
    texts = {name: text for name, text in contents(context)["locks"].items() if name.endswith(_LOCK_SUFFIX)}
    if texts:
        return parse_lock_set(texts)
    flavor = context.subject.flavor
    return None if flavor is None else read_lock_set(flavor.folder, flavor.project.spec)


def packages_of(context: Context) -> tuple[ImagePackage, ...]:
    """The Python packages of the image by name; none where its Python cannot be asked."""
    context.deadline = float("inf")
    try:
        return _packages(contents(context)["packages"], locks_of(context))
    except (FactoryError, *NOT_AS_TOLD):
        return ()


def _packages(found: list[dict[str, Any]], locks: LockSet | None) -> tuple[ImagePackage, ...]:
    locked = locks.versions() if locks else {}
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
    """The layers from the bottom up, each with its size and its instruction as the engine's history tells.

    History also has steps without a layer (OCI image-spec, empty_layer), which are those of no size;
    where the two do not agree, the layers stand there without.
    """
    made = [step for step in steps if step.size]
    # A layer may be empty and still be one: then only as many steps as layers can be told apart.
    told = made if len(made) == len(digests) else steps if len(steps) == len(digests) else ()
    told = told or [HistoryStep(size=0, text="")] * len(digests)
    return tuple(
        ImageLayer(digest=digest, size=step.size, created_by=step.text)
        for digest, step in zip(digests, told, strict=True)
    )
