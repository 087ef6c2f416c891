"""The error for requirements that no index could meet, whatever it had."""

from collections.abc import Iterable, Sequence

from factory.errors import ResolutionError
from factory.flavor.project import Project
from factory.gaps.blame import PROJECT, Need, read_blame
from factory.gaps.contradiction import contradicted
from factory.gaps.needs import needs_of
from factory.lock.resolution import Disagreement, Refused

SOLUTION = f"Change what contradicts in {PROJECT}."


def conflict_error(project: Project, conflict: Refused | Disagreement) -> ResolutionError:
    """A conflict in uv's words, with what is at odds where it is known."""
    if isinstance(conflict, Disagreement):
        return _disagreement(conflict)
    lines = [f"the requirements have no solution for {conflict.request.platform}:", conflict.explanation]
    wanted = dict.fromkeys(_wanted(need) for need in at_odds(project, conflict))
    if wanted:
        lines += ["no version could meet all of these:", *wanted]
    return ResolutionError("\n".join(lines), solution=SOLUTION)


def at_odds(project: Project, conflict: Refused) -> tuple[Need, ...]:
    """The needs of a failed resolution that no version of their package could meet together."""
    needs = needs_of(project, conflict, read_blame(conflict.explanation))
    found: dict[Need, None] = {}
    for need in needs:
        if others := contradicted(need, needs):
            found |= dict.fromkeys((need, *others))
    return tuple(found)


def apart_error(package: str, wanted: Iterable[str]) -> ResolutionError:
    """A conflict about a package that the index lacks as well; ``wanted`` says who wants what."""
    lines = (f"no version of {package} could meet all of these:", *(f"  {who}" for who in wanted))
    return ResolutionError("\n".join(lines), solution=SOLUTION)


def one_error(errors: Sequence[ResolutionError]) -> ResolutionError | None:
    """Several conflicts as one error, None for none."""
    reasons = dict.fromkeys(error.reason for error in errors)
    solutions = dict.fromkeys(error.solution for error in errors)
    if not errors:
        return None
    return ResolutionError("\nand\n".join(reasons), solution=" ".join(solutions))


def _wanted(need: Need) -> str:
    requirements = " or ".join(str(requirement) for requirement in need.requirements)
    return f"  {requirements}: wanted by {PROJECT if need.by is None else need.by}"


def _disagreement(conflict: Disagreement) -> ResolutionError:
    """What a platform needs and another cannot have: without markers a lock installs it on both."""
    blame = read_blame(conflict.explanation)
    blamed = blame.absent | {need.package for need in blame.needs}
    differing = conflict.differing()
    shown = {name: found for name, found in differing.items() if name in blamed} or differing
    lines = ["the platforms need what cannot stand in one lock, since a lock has no markers:"]
    for name, found in shown.items():
        versions = ", ".join(f"{version} on {platform}" for platform, version in found.items())
        if without := [platform for platform in conflict.versions if platform not in found]:
            only = " and ".join(f"{platform} needs it ({version})" for platform, version in found.items())
            lines.append(f"  {name}: only {only}, and it is not to be had on {', '.join(without)}")
        else:
            lines.append(f"  {name}: {versions}, and no version that serves them all was found")
    lines += [f"uv's words for {conflict.platform}:", conflict.explanation]
    return ResolutionError(
        "\n".join(lines),
        solution="Ask the owners of the index to build it for the other platform, constrain the versions, "
        "or make a flavor for each platform.",
    )
