"""Rules about where packages come from: an index that is built for another accelerator."""

import re
from collections.abc import Iterator

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.flavor.project import PROJECT_FILE
from factory.flavor.spec import Spec

# As indexes are called: cuda13.0-ubi9, cuda-12-8, rocm7.14, cpu; and cu130 as PyTorch's own are.
_NAMED = re.compile(
    r"(?<![a-z])(?P<accelerator>cuda|cu(?=[0-9])|rocm|cpu)(?P<version>-?[0-9][0-9.]*)?(?![a-z0-9])"
)
_TITLES = {"cu": "cuda"}


def check_origins(subject: Subject) -> Iterator[Problem]:
    """FAC215 and FAC216."""
    if subject.project is None:
        return
    spec = subject.project.spec
    for index in spec.index_names:
        url = spec.url_of(index)
        if url is not None and (other := _other_accelerator(url, spec)) is not None:
            yield Problem(
                code="FAC215",
                path=PROJECT_FILE,
                line=subject.project_line("url", f'"{url}"'),
                message=f"the index {url} is called {other}, and the flavor is for {_of(spec)}",
                solution=f"Give the index that is built for {_of(spec)}, and lock again.",
            )
    yield from _shared(subject, spec)


def _shared(subject: Subject, spec: Spec) -> Iterator[Problem]:
    """Where a name does not tell, another flavor does: the index of a GPU flavor given to a CPU flavor."""
    url = spec.index_url
    if url is None or _accelerators(url):
        return
    sharing = subject.neighbours.sharing(spec, name=subject.flavor.name)
    if sharing:
        name, accelerator = sharing[0]
        yield Problem(
            code="FAC216",
            path=PROJECT_FILE,
            line=subject.project_line("index-url", f'"{url}"'),
            message=f"the index {url} is also that of {name}, which is for {accelerator}",
            solution="Give each accelerator its own index; waive it with a reason where one serves both.",
        )


def _accelerators(url: str) -> list[re.Match[str]]:
    """Where a URL's path says what the index is for."""
    path = url.lower().partition("://")[2].partition("/")[2]
    return list(_NAMED.finditer(path))


def _other_accelerator(url: str, spec: Spec) -> str | None:
    """The accelerator that an index is for, where it is not the flavor's; None where it is, or not told."""
    named = _accelerators(url)
    return None if not named or any(_fits(match, spec) for match in named) else named[-1][0]


def _fits(match: re.Match[str], spec: Spec) -> bool:
    """Whether a name such as cuda13.0 is the flavor's: cuda130, cuda13 and cuda13.0 are all 13.0."""
    accelerator = _TITLES.get(match["accelerator"], match["accelerator"])
    found, own = (re.sub(r"[^0-9]", "", text or "") for text in (match["version"], spec.accelerator_version))
    return accelerator == spec.accelerator and (own.startswith(found) or found.startswith(own))


def _of(spec: Spec) -> str:
    return " ".join(filter(None, (spec.accelerator, spec.accelerator_version)))
