"""Print the reference of every command as Markdown, from the commands themselves.

It has the usage and the help of ``factory COMMAND --help``. No library's page would: mkdocs-click sorts the
commands by name, shows click's internal defaults, and lets help text through as markup.
"""

import html
import inspect
import re
from collections.abc import Iterator

import click

from factory.cli.main import COMMANDS, group

_HEAD = """\
# Commands

All commands, in the order of the job. This page is generated from the command line itself: in a terminal,
`factory COMMAND --help` says the same.
"""
_MARKUP = re.compile(r"([|*_<>\[\]\\])")


def reference() -> str:
    """Return the page of all commands, in the order of `factory --help`."""
    top = click.Context(group, info_name="factory")
    lines = [_HEAD, "| command | what it does |", "|---|---|"]
    for name, (_, text) in COMMANDS.items():
        lines.append(f"| [`factory {name}`](#factory-{name}) | {_text(text)} |")
    lines += ["", "## What every command takes", "", *_body(top, known=())]
    known = _records(top)
    for name in COMMANDS:
        lines += _command(top, name, known=known, depth=2)
    return "\n".join(lines)


def _command(
    parent: click.Context, name: str, *, known: tuple[tuple[str, str], ...], depth: int
) -> Iterator[str]:
    assert isinstance(parent.command, click.Group)
    command = parent.command.get_command(parent, name)
    if command is None:
        raise LookupError(f"there is no command {name}")
    context = click.Context(command, info_name=name, parent=parent)
    yield from (f"{'#' * depth} {context.command_path}", "", *_body(context, known=known))
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from _command(context, below, known=known, depth=depth + 1)


def _body(context: click.Context, *, known: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """Yield usage, help and options; those that every command has are said once."""
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from ("```text", usage, "```", "")
    yield from _paragraphs(inspect.cleandoc(command.help or ""))
    records = [record for record in _records(context) if record not in known]
    if records:
        yield from ("| option | what it does |", "|---|---|")
        yield from (f"| {_code(names)} | {_text(' '.join(text.split()))} |" for names, text in records)
        yield ""


def _records(context: click.Context) -> tuple[tuple[str, str], ...]:
    """Return the options with their help, as `--help` shows them."""
    found = (parameter.get_help_record(context) for parameter in context.command.get_params(context))
    return tuple(record for record in found if record is not None and record[1])


def _paragraphs(text: str) -> Iterator[str]:
    r"""Yield the help text; what stands under click's ``\b`` keeps its lines."""
    for paragraph in filter(None, re.split(r"\n\s*\n", text)):
        if paragraph.startswith("\b\n"):
            yield from ("```text", paragraph.removeprefix("\b\n"), "```", "")
        else:
            yield from (_text(paragraph), "")


def _text(text: str) -> str:
    """Escape what would be markup; what stands in backticks is code."""
    parts = re.split(r"`([^`\n]+)`", text)
    return "".join(_code(part) if at % 2 else _MARKUP.sub(r"\\\1", part) for at, part in enumerate(parts))


def _code(text: str) -> str:
    """Return code that may stand in the cell of a table, where a bar would end it."""
    return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>"


if __name__ == "__main__":
    print(reference())
