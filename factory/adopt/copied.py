"""A COPY or ADD instruction of the final stage, placed, with the files that it copies."""

import re
from pathlib import PurePosixPath

from factory.adopt.dockerfile import OldInstruction
from factory.adopt.draft import Around, Draft
from factory.adopt.folder import Folder, repository_problem
from factory.adopt.given import Given
from factory.adopt.placement import Placement, has_credentials, not_kept, placed
from factory.check.installs import is_remote
from factory.errors import SpecError
from factory.flavor.hook_text import check_own_file

_INSTALLED = re.compile(r"site-packages|/opt/app-root(?:/(?:lib|lib64|bin|share)(?:/|$)|/?$)|\.venv|/venv")
_INPUTS = re.compile(
    r"requirements[^/]*\.(?:txt|in)|pyproject\.toml|pylock[^/]*\.toml|uv\.lock|constraints[^/]*"
)


def copies_packages(step: OldInstruction) -> bool:
    """Return whether a COPY brings installed packages from another stage: the install of such a folder."""
    copied = step.instruction
    return step.name == "COPY" and bool(copied.origins) and any(map(_INSTALLED.search, copied.sources))


def place_copy(step: OldInstruction, around: Around, draft: Draft, given: Given, folder: Folder) -> Placement:
    """Place a COPY or ADD instruction of the final stage."""
    copied = step.instruction
    if not copied.sources or copied.heredoc is not None:
        return not_kept(
            step, "its words cannot be read, or are a heredoc", "Copy a file of the folder by its name."
        )
    if copied.origins:
        return _from_stage(step)
    if any(is_remote(source) for source in copied.sources):
        return not_kept(
            step,
            "it downloads, and the downstream build has no network (FAC404)",
            "Keep the file in the flavor's folder, and copy it in hooks.after-install.",
        )
    found = {source: folder.matching(source) for source in copied.sources}
    missing = [source for source, paths in found.items() if not paths and not _INPUTS.fullmatch(source)]
    paths = tuple(dict.fromkeys(path for each in found.values() for path in each))
    own = [path for path in paths if not _is_given(path, given, folder)]
    if not own and not missing:
        return placed(step, "template", "the files that it copies", ", ".join(paths))
    return _own(step, around, draft, folder, own=own, missing=missing, whole=len(own) == len(paths))


def _from_stage(step: OldInstruction) -> Placement:
    if copies_packages(step):
        return placed(
            step, "template", "the install layer", "nothing is copied over the base image's packages"
        )
    names = {PurePosixPath(source).name for source in step.instruction.sources}
    if names <= {"uv", "uvx"}:
        return placed(step, "template", "uv", "the base image brings it")
    if all(name.startswith("entrypoint") or name.upper().startswith("LICENSE") for name in names):
        return placed(step, "template", "the entry point and the licence")
    return not_kept(
        step,
        f"it takes files from {step.instruction.origins[0]}, a stage or an image of the folder's own",
        "Keep the files in the flavor's folder and copy them in hooks.after-install.",
    )


def _is_given(path: str, given: Given, folder: Folder) -> bool:
    """Whether the template brings a file of that name, or it is what the lock is made from."""
    known = path == folder.entrypoint or path in (folder.locks or ())
    return path in given.files or _INPUTS.fullmatch(path) is not None or known


def _own(
    step: OldInstruction,
    around: Around,
    draft: Draft,
    folder: Folder,
    *,
    own: list[str],
    missing: list[str],
    whole: bool,
) -> Placement:
    problem = _problem(own, missing, folder)
    if problem is not None:
        return not_kept(step, *problem)
    if all(path.endswith(".repo") for path in own):
        draft.files |= dict.fromkeys(own)
        return placed(step, "hook", "hooks.files", f"{', '.join(own)}: copied for dnf, midstream alone")
    if not whole:
        return not_kept(
            step,
            f"it copies {', '.join(own)} together with files that the template brings",
            f"Copy {', '.join(own)} in hooks.after-install, and name it in hooks.files.",
        )
    draft.files |= dict.fromkeys(own)
    hook = "midstream" if step.in_block else around.hook
    draft.keep(hook, step.source, step, around.user, around.workdir)
    return placed(step, "hook", f"hooks.{hook}", f"with hooks.files: {', '.join(own)}")


def _problem(own: list[str], missing: list[str], folder: Folder) -> tuple[str, str] | None:
    if missing:
        return (
            "it copies the whole folder"
            if "." in {source.strip("/") or "." for source in missing}
            else f"the folder has no {', '.join(missing)}",
            "Put the files into the folder under plain names, and copy them by these.",
        )
    for path in own:
        try:
            check_own_file(path)
        except SpecError as error:
            return error.reason, error.solution
        if has_credentials(folder.text(path)):
            return (
                f"{path} holds credentials, which are not copied (FAC410)",
                "Change the password, take it out of the file, and copy the file in a hook.",
            )
        if path.endswith(".repo") and (problem := repository_problem(folder.content(path))):
            return problem
    return None
