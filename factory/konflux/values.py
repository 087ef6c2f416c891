"""What comes from a person into a PipelineRun, checked: names, branches, images, times.

Everything is quoted where it is written as well; what is refused here would be a name that no cluster,
registry or git takes, or text that Pipelines as Code (``{{ }}``) or Tekton (``$( )``) would replace.
"""

import re

from factory.dockerfile.references import check_image
from factory.errors import SpecError
from factory.masking import masked_address

MAX_NAME_LENGTH = 63
_LEAST_MINUTES = 60
# The longest name of a run that is no flavor's follows it: flavors-check-on-pull-request.
_LONGEST_PREFIX = MAX_NAME_LENGTH - 29
# RFC 1123, as Kubernetes asks for the names of most objects, and for labels more freely.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]*)")
# Fewer than git allows (git-check-ref-format): none that a shell, CEL, YAML or a template would read.
_BRANCH = re.compile(r"[A-Za-z0-9._/+@#=,%-]+")
_IMAGE_FOLDER = re.compile(r"[a-z0-9][a-z0-9.-]*(?::[0-9]+)?/(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?/)*")
_FOLDER = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*(?:/[A-Za-z0-9._][A-Za-z0-9._-]*)*")
# Of the Repository's own: what Pipelines as Code brings, such as source_branch, is of whoever asks to merge.
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
    """Return what names of Kubernetes objects can begin with, or the empty text.

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
    """Return where the images are in a registry, such as ``quay.io/ORG/``, with the slash before their names.

    Without the slash at its end it means the same: what a name itself begins with is ``component-prefix``.

    Raises:
        SpecError: with a slash and a name after it, it is no image reference, or it names no registry.
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


def check_folder(path: str) -> str:
    """Return the path of a folder in the repository, beside ``flavors/``.

    Raises:
        SpecError: it leaves the repository, is no plain path, or lies where flavors or templates are.
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
    """Return how long a registry keeps an image, such as ``5d``: hours, days or weeks.

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
    """Return how a cluster's multi-platform controller names a platform, such as ``linux-mlarge/arm64``.

    Raises:
        SpecError: it is no such name.
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
