"""What a Dockerfile says about package indexes: a second one, or the password of one."""

import re
from collections.abc import Iterator

from factory.check.finding import Problem
from factory.check.subject import Subject
from factory.dockerfile.instructions import Instruction
from factory.dockerfile.shell import Command
from factory.flavor.project import PROJECT_FILE
from factory.flavor.spec import Spec
from factory.masking import HIDDEN, masked, shown

_EXTRA = r"(?:PIP_EXTRA_INDEX_URL|UV_EXTRA_INDEX_URL|UV_INDEX)"
# ENV NAME=value, ENV NAME value and ARG NAME, and what a shell assigns or exports.
_DECLARED = re.compile(rf"(?:^|(?<=\s)){_EXTRA}(?==[\"']?[^\s\"']|\s|$)")
_ASSIGNED = re.compile(rf"(?<![A-Za-z0-9_$]){_EXTRA}(?==[\"']?[^\s\"';&|])")
_EXTRA_OPTION = "--extra-index-url"
_EXTRA_SETTING = re.compile(r"(?:[a-z-]+\.)?extra-index-url")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^\s\"']+)")
_WITHOUT_SCHEME = re.compile(
    r"(?:\b(?:PIP|UV)_[A-Z_]*INDEX[A-Z_]*|--[a-z-]*index[a-z-]*|(?<!\S)-i)[=\s]+[\"']?"
    r"(?P<who>[^\s/:@\"']+:[^\s/\"']+)@(?P<host>[^/\s\"'@]*)"
)


def second_indexes(instruction: Instruction, run: tuple[Command, ...]) -> Iterator[str]:
    """Yield the words of an instruction that name an index beside the flavor's own."""
    if instruction.name in {"ENV", "ARG"}:
        yield from _DECLARED.findall(instruction.text)
    elif instruction.name == "RUN":
        yield from _ASSIGNED.findall(f"{instruction.text}\n{instruction.heredoc or ''}")
        for command in run:
            yield from _extra_options(command)


def passwords(text: str) -> Iterator[tuple[str, str]]:
    """Yield each text with credentials: as it is written, and as it may be shown.

    What is taken from a variable or from a command is not a password yet, and the user alone of a URL
    for ssh is not one.
    """
    if "@" not in text:
        return
    for match in _URL.finditer(text):
        scheme, rest = match["scheme"], match["rest"]
        if masked(match[0]).startswith(f"{scheme}://{HIDDEN}@"):
            host = re.split("[/?#]", shown(match[0]).partition("://")[2], maxsplit=1)[0]
            who = rest[: rest.rindex(f"@{host}")]
            if _is_secret(who, scheme=scheme.lower()):
                yield f"{scheme}://{who}@{host}", f"{scheme}://{HIDDEN}@{host}"
    for match in _WITHOUT_SCHEME.finditer(text):
        if _is_secret(match["who"], scheme=""):
            yield match["who"], f"{HIDDEN}@{match['host']}"


def _extra_options(command: Command) -> Iterator[str]:
    program, *arguments = command
    for word in arguments:
        option = word.partition("=")[0]
        is_setting = "config" in arguments and _EXTRA_SETTING.fullmatch(option)
        if is_setting or option == _EXTRA_OPTION or (option == "--index" and program in {"uv", "uvx"}):
            yield option


def _is_secret(who: str, *, scheme: str) -> bool:
    user, colon, password = who.partition(":")
    if not colon and (scheme.endswith("ssh") or user == "git"):
        return False
    secret = password if colon else user
    return bool(secret) and not secret.startswith(("$", "`"))


# As indexes are called: cuda13.0-ubi9, cuda-12-8, rocm7.14, cpu; and cu130 as PyTorch's own are.
_NAMED = re.compile(
    r"(?<![a-z])(?P<accelerator>cuda|cu(?=[0-9])|rocm|cpu)(?P<version>-?[0-9][0-9.]*)?(?![a-z0-9])"
)
_TITLES = {"cu": "cuda"}


def check_origins(subject: Subject) -> Iterator[Problem]:
    """Find FAC215 and FAC216."""
    # On an external parent it is not known which accelerator an image is for.
    if subject.project is None or not subject.project.spec.accelerator:
        return
    spec = subject.project.spec
    for index in spec.index_names:
        url = spec.url_of(index)
        if url is not None and (other := _other_accelerator(url, spec)) is not None:
            yield Problem(
                code="FAC215",
                path=PROJECT_FILE,
                line=subject.project_line("url", f'"{url}"'),
                message=f"the index {url} is called {other}, and the {spec.kind} is for {_of(spec)}",
                solution=f"Give the index that is built for {_of(spec)}, and lock again.",
            )
    yield from _shared(subject, spec)


def _shared(subject: Subject, spec: Spec) -> Iterator[Problem]:
    """Find an index without an accelerator in its name that another flavor's accelerator uses."""
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
    """Return the parts of a URL's path that name an accelerator."""
    path = url.lower().partition("://")[2].partition("/")[2]
    return list(_NAMED.finditer(path))


def _other_accelerator(url: str, spec: Spec) -> str | None:
    """Return the accelerator that an index names, unless it is the flavor's."""
    named = _accelerators(url)
    return None if not named or any(_fits(match, spec) for match in named) else named[-1][0]


def _fits(match: re.Match[str], spec: Spec) -> bool:
    """Return whether a name such as cuda130, cuda13 or cuda13.0 is the flavor's."""
    accelerator = _TITLES.get(match["accelerator"], match["accelerator"])
    found, own = (re.sub(r"[^0-9]", "", text or "") for text in (match["version"], spec.accelerator_version))
    return accelerator == spec.accelerator and (own.startswith(found) or found.startswith(own))


def _of(spec: Spec) -> str:
    return " ".join(filter(None, (spec.accelerator, spec.accelerator_version)))
