"""What a Dockerfile says about package indexes: a second one, or the password of one."""

import re
from collections.abc import Iterator

from factory.dockerfile.instructions import Instruction
from factory.dockerfile.shell import Command

_EXTRA = r"(?:PIP_EXTRA_INDEX_URL|UV_EXTRA_INDEX_URL|UV_INDEX)"
# ENV NAME=value, ENV NAME value and ARG NAME, and what a shell assigns or exports.
_DECLARED = re.compile(rf"(?:^|(?<=\s)){_EXTRA}(?==[\"']?[^\s\"']|\s|$)")
_ASSIGNED = re.compile(rf"(?<![A-Za-z0-9_$]){_EXTRA}(?==[\"']?[^\s\"';&|])")
_EXTRA_OPTION = "--extra-index-url"
_EXTRA_SETTING = re.compile(r"(?:[a-z-]+\.)?extra-index-url")
_IN_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<who>[^/\s\"']+)@(?P<host>[^/\s\"'@]*)")
_WITHOUT_SCHEME = re.compile(
    r"(?:\b(?:PIP|UV)_[A-Z_]*INDEX[A-Z_]*|--[a-z-]*index[a-z-]*|(?<!\S)-i)[=\s]+[\"']?"
    r"(?P<who>[^\s/:@\"']+:[^\s/\"']+)@(?P<host>[^/\s\"'@]*)"
)


def second_indexes(instruction: Instruction, run: tuple[Command, ...]) -> Iterator[str]:
    """The words of an instruction that name an index beside the flavor's own; ``run`` is what it runs."""
    if instruction.name in {"ENV", "ARG"}:
        yield from _DECLARED.findall(instruction.text)
    elif instruction.name == "RUN":
        yield from _ASSIGNED.findall(f"{instruction.text}\n{instruction.heredoc or ''}")
        for command in run:
            yield from _extra_options(command)


def passwords(text: str) -> Iterator[tuple[str, str]]:
    """Each place of a text that holds credentials: as it stands there, and as it may be shown.

    What is taken from a variable or from a command is no password yet, and the user alone of a URL
    for ssh is none.
    """
    for match in _IN_URL.finditer(text):
        if _is_secret(match["who"], scheme=match["scheme"].lower()):
            yield match[0], f"{match['scheme']}://***@{match['host']}"
    for match in _WITHOUT_SCHEME.finditer(text):
        if _is_secret(match["who"], scheme=""):
            yield match["who"], f"***@{match['host']}"


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
