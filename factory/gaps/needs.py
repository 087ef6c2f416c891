"""What a failed resolution asked for: of the project's own words, and of uv's explanation."""

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factory.flavor.project import Project, marker_environment
from factory.gaps.blame import PROJECT, Blame, Need
from factory.lock.resolution import Refused, package_of

CONSTRAINTS = f"the constraints in {PROJECT}"


def needs_of(project: Project, refused: Refused, blame: Blame) -> list[Need]:
    """Every requirement that may be the cause: direct ones, constraints on them, and uv's explanation.

    A name that the explanation only calls absent comes as a bare requirement of nobody (``by`` is "").
    """
    direct = _direct_needs(refused)
    constraints = _constraints(project, refused, blame)
    named = {need.package for need in direct}
    # uv folds a constraint into the requirements that it meets, and names of a range of the project only
    # what is there of it: those are not their owners' own words.
    others = [
        need
        for need in blame.needs
        if not (need.by is None and need.package in named)
        and not any(_includes(need, part) for part in constraints)
    ]
    known = [*direct, *constraints, *others]
    bare = sorted(blame.absent - {need.package for need in known})
    return [*known, *(Need(by="", requirements=(Requirement(name),)) for name in bare)]


def _direct_needs(refused: Refused) -> list[Need]:
    """The requirements given to uv, as its overrides change them and where their markers hold."""
    environment = marker_environment(refused.request.python, refused.request.platform)
    overrides = [Requirement(line) for line in refused.request.overrides]
    overridden = {canonicalize_name(requirement.name) for requirement in overrides}
    direct = [Requirement(line) for line in refused.request.requirements]
    direct_names = {canonicalize_name(requirement.name) for requirement in direct}
    wanted = [item for item in direct if canonicalize_name(item.name) not in overridden]
    wanted += [item for item in overrides if canonicalize_name(item.name) in direct_names]
    return [
        Need(by=None, requirements=(item,))
        for item in wanted
        if item.marker is None or item.marker.evaluate(environment)
    ]


def _constraints(project: Project, refused: Refused, blame: Blame) -> list[Need]:
    """The constraints on what is asked for: a floor there may be what the index lacks, as for a CVE's fix."""
    named = {package_of(line) for line in refused.request.requirements}
    named |= blame.absent | {need.package for need in blame.needs}
    constraints = [Requirement(line) for line in project.constraints if package_of(line) in named]
    environment = marker_environment(refused.request.python, refused.request.platform)
    return [
        Need(by=CONSTRAINTS, requirements=(item,))
        for item in constraints
        if item.marker is None or item.marker.evaluate(environment)
    ]


def _includes(need: Need, constraint: Need) -> bool:
    clauses = set(constraint.requirements[0].specifier)
    return need.package == constraint.package and all(
        clauses <= set(item.specifier) for item in need.requirements
    )
