"""Place each file of a hand-made folder once."""

import re
from collections.abc import Iterator

from factory.adopt.dockerfile import DockerfileVariant
from factory.adopt.draft import Draft
from factory.adopt.evidence import FolderContent
from factory.adopt.folder import base_urls, repository_problem
from factory.adopt.placement import Placement, file_placed
from factory.adopt.requirements import REQUIREMENTS_IN
from factory.adopt.template import TemplateContent
from factory.flavor.project import PROJECT_FILE

_LOCKS = re.compile(r"requirements[^/]*\.txt|pylock[^/]*\.toml|uv\.lock")


def place_files(sources: FolderContent, draft: Draft, template: TemplateContent) -> Iterator[Placement]:
    """Place every file and link of the folder."""
    for path in sources.folder.paths:
        yield _place(path, sources, draft, template)
    for path in sources.folder.links:
        yield file_placed(
            path,
            "not kept",
            why="it is a symbolic link: a copy or a build context may hold nothing behind it (FAC106)",
            solution="Put the file itself there.",
        )
    for path in sources.folder.others:
        yield file_placed(
            path,
            "not kept",
            why="it is no regular file: a build context holds files alone",
            solution="Put a file with its content there, where the image needs one.",
        )


def _place(path: str, sources: FolderContent, draft: Draft, template: TemplateContent) -> Placement:
    if path in draft.files:
        return file_placed(path, "hook", "hooks.files")
    if path in template.files and not path.startswith("Dockerfile"):
        return _given(path, sources, template)
    return _read(path, sources) or _left(path, sources)


def _read(path: str, sources: FolderContent) -> Placement | None:
    """Return the placement of a file that was read; None for another."""
    dockerfiles = {each.path for each in (sources.dockerfile, sources.downstream) if each}
    if path in sources.limits.files:
        return file_placed(path, "spec", "constraint-dependencies", "its limits")
    further = {each.lock.path for each in sources.further}
    if path in dockerfiles:
        return file_placed(
            path, "template", "Dockerfile and Dockerfile.konflux", "each instruction by itself"
        )
    if path == PROJECT_FILE:
        return file_placed(path, "spec", "pyproject.toml", "with its comments")
    if sources.lock is not None and path in (sources.lock.path, *sources.lock.included):
        return file_placed(path, "spec", "requirements.txt", "its versions, for the first lock to keep")
    if path in further:
        return file_placed(path, "spec", "[[tool.factory.indexes]]", "its packages, and their versions")
    return _asked_or_started(path, sources)


def _asked_or_started(path: str, sources: FolderContent) -> Placement | None:
    if sources.asked is not None and path in sources.asked.files:
        return file_placed(path, "spec", "dependencies")
    if path == sources.folder.entrypoint:
        return file_placed(path, "template", "entrypoint-universal.sh", _READ_IT)
    return None


def _left(path: str, sources: FolderContent) -> Placement:
    """Return the placement of a file that the flavor does not take over."""
    why = "nothing that is kept copies it"
    solution = "Keep it outside of flavors/; or copy it in a hook, and name it in hooks.files."
    others = {each.path: (chosen.path, each) for chosen in sources.chosen for each in chosen.others}
    if path in others:
        return _other_build(*others[path])
    if path == REQUIREMENTS_IN:
        why, solution = "pyproject.toml says what is asked for", "Compare the two."
    elif _LOCKS.fullmatch(path):
        why = "a second lock: its pins are not read (field note 5)"
        solution = (
            "Where its packages come from an index of their own, name both in [[tool.factory.indexes]]."
        )
    elif path.endswith(".repo") and (problem := repository_problem(sources.folder.content(path))):
        why, solution = problem
    return file_placed(path, "not kept", why=why, solution=solution)


def _other_build(chosen: str | None, variant: DockerfileVariant) -> Placement:
    """Place a Dockerfile that was not read because another was."""
    why = f"{chosen or 'none of its kind'} was read"
    option = "downstream-dockerfile" if variant.is_downstream else "dockerfile"
    solution = f"Where it counts instead, give --{option} {variant.path}."
    if variant.accelerator is not None:
        why += f", and this one is for {variant.accelerator}"
        solution = (
            f"Adopt the folder again with --accelerator {variant.accelerator}, for a flavor of its own."
        )
    return file_placed(variant.path, "not kept", why=why, solution=solution)


_READ_IT = "the folder's own text differs: read what it does beside starting JupyterLab or the command"


def _given(path: str, sources: FolderContent, template: TemplateContent) -> Placement:
    own, templates = sources.folder.content(path), template.files[path]
    if path.endswith(".repo"):
        strange = base_urls(own) - base_urls(templates)
        if strange:
            return file_placed(
                path,
                "not kept",
                why=f"the template has a {path} of its own, and this one names {', '.join(sorted(strange))}",
                solution="Where it is needed, give the file another name, and name that in hooks.files.",
            )
        problem = repository_problem(own)
        why = f"{problem[0]}; the template checks signatures" if problem else ""
        return file_placed(path, "template", path, why or _difference(own, templates))
    if path.endswith(".sh") and _without_comments(own) != _without_comments(templates):
        return file_placed(path, "template", path, _READ_IT)
    return file_placed(path, "template", path, _difference(own, templates))


def _difference(own: bytes, templates: bytes) -> str:
    """Return a note on a file that the template's replaces."""
    if _without_comments(own) == _without_comments(templates):
        return ""
    return "the folder's own text differs and is not taken over: under another name it can be, by hooks.files"


def _without_comments(content: bytes) -> list[bytes]:
    return [
        line.strip() for line in content.splitlines() if line.strip() and not line.strip().startswith(b"#")
    ]
