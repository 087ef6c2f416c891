"""What a person should look at in a flavor that was just created."""

from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.flavor.project import Project
from factory.flavor.repository import Flavor


def notes_on(project: Project, *, source: Flavor | None) -> tuple[str, ...]:
    """What the index is known to lack and, with a source, what still fits the source's versions only."""
    return tuple(_notes(project, source))


def _notes(project: Project, source: Flavor | None) -> Iterator[str]:
    for item in project.spec.missing:
        yield f"{item.requirement} is recorded as missing: {item.reason}"
    if project.spec.index_url is None and project.spec.accelerator != "cuda":
        yield (
            f"the public index's torch for Linux is built for CUDA: for {project.spec.accelerator}, "
            + ("give --index-url" if project.spec.accelerator == "rocm" else "lock with --find-links DIR")
        )
    if source is not None:
        yield from _kept(project, source)
        yield from _ranges(project)


def _kept(project: Project, source: Flavor) -> Iterator[str]:
    old, new = source.project.spec, project.spec
    moved = old.accelerator_version != new.accelerator_version
    if moved and new.index_url is not None and new.index_url == old.index_url:
        yield f"index-url is still that of {source.name}, for {old.accelerator_version}"
    if old.python != new.python and old.base_image == new.base_image:
        yield f"base-image is still that of {source.name}, for Python {old.python}: {new.base_image}"
    if old.python != new.python and old.downstream_base_image == new.downstream_base_image:
        yield f"downstream-base-image is still that of {source.name}: {new.downstream_base_image}"
    for requirement in (*project.dependencies, *project.constraints, *project.overrides):
        if old.python != new.python and "python" in str(Requirement(requirement).marker or ""):
            yield f"{requirement} has a marker on Python, which is {new.python} now"


def _ranges(project: Project) -> Iterator[str]:
    """Ranges that rule out what the spec asks for: somebody had a reason for them, so they were kept."""
    versions = {"torch": project.spec.torch, "training-hub": project.spec.training_hub}
    for text in (*project.dependencies, *project.constraints):
        requirement = Requirement(text)
        version = versions.get(canonicalize_name(requirement.name))
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            yield f"{text} rules out {version}: it was kept, and cannot be locked like this"
