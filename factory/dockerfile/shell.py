"""Shell text as the simple commands in it, as far as rules need them."""

import re
import shlex
from collections.abc import Iterator
from functools import lru_cache

from factory.documents import parse_json
from factory.errors import DocumentError

Command = tuple[str, ...]

_KEYWORDS = frozenset(
    {"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!", "time"}
)
_WRAPPERS = frozenset({"command", "env", "exec", "nice", "nohup", "sudo", "timeout", "xargs"})
# What xargs puts in for what it reads.
_FROM_INPUT = "{}"
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=.*", re.DOTALL)
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")
_SEPARATOR = re.compile(r"[();|&`]+")
_REDIRECTION = re.compile(r"[()<>|&`]*[<>][()<>|&`]*")


@lru_cache(maxsize=1024)
def commands(text: str) -> tuple[Command, ...]:
    """Return the simple commands of a shell text, each as its words, quotes removed.

    Looks into ``sh -c``, ``eval``, command substitutions and wrappers such as ``env`` and ``sudo``;
    what ``xargs`` adds to its command is shown as ``{}``. Evaluates nothing, so a command that is held in
    a variable is not seen. Kept, because the Dockerfiles of a
    repository share most of their instructions.
    """
    return tuple(_commands(text))


def _commands(text: str) -> Iterator[Command]:
    for line in _lines(text):
        words: list[str] = []
        tokens = iter(_tokens(line))
        for token in tokens:
            if _SEPARATOR.fullmatch(token):
                yield from _command(words)
                words = []
            elif _REDIRECTION.fullmatch(token):
                next(tokens, None)
            else:
                words.append(token)
        yield from _command(words)


def exec_form(text: str) -> Command | None:
    """Return the words of an instruction in exec form; None if it is in shell form."""
    if not text.startswith("["):
        return None
    try:
        return tuple(parse_json(text, list[str], source="an instruction"))
    except DocumentError:
        return None


def _lines(text: str) -> Iterator[str]:
    # As a shell does it: a continued line goes on with nothing between, and lines end at a line feed alone.
    for line in text.replace("\\\n", "").split("\n"):
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def _tokens(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&`")
    lexer.whitespace_split = True
    # A carriage return is part of a word.
    lexer.whitespace = " \t"
    # shlex would end a word at any #, such as that of URL#egg=name.
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:  # a quote that does not close; the shell will say so
        tokens = line.split()
    comment = next((index for index, token in enumerate(tokens) if token.startswith("#")), len(tokens))
    return tokens[:comment]


def _command(words: list[str]) -> Iterator[Command]:
    for word in words:
        for match in _SUBSTITUTION.finditer(word):
            yield from commands(match[1] or match[2] or "")
    while words and (words[0] in _KEYWORDS or _ASSIGNMENT.fullmatch(words[0])):
        words = words[1:]
    if not words:
        return
    program = words[0].rpartition("/")[2]
    if program in _WRAPPERS:
        # Their options differ; whichever word is the program, the rules know it by its name.
        added = (_FROM_INPUT,) if program == "xargs" and _FROM_INPUT not in words else ()
        yield from ((*words[start:], *added) for start in range(1, len(words)))
    elif program == "eval":
        yield from commands(" ".join(words[1:]))
    elif program in _SHELLS and (script := _script(words)) is not None:
        yield from commands(script)
    else:
        yield (program, *words[1:])


def _script(words: list[str]) -> str | None:
    """Return what follows the option -c (or -lc, -ec and the like)."""
    for position, word in enumerate(words[1:-1], start=1):
        if re.fullmatch(r"-[a-z]*c", word):
            return words[position + 1]
    return None
