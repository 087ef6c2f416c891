"""The names that a shell completes, from folders and ``factory.toml``, without what would check them.

A shell asks at every tab, so what is imported here is little, and whatever is wrong is no name.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from factory.errors import FactoryError
from factory.settings import FLAVORS_FOLDER, read_settings

# What is printed goes into a command line: a name that a shell would read as more than a word is left out.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


# As click calls it: with the context, the parameter, and the word so far.
Complete = Callable[[click.Context, click.Parameter | None, str], list[CompletionItem]]


def named_words(name: str, group: click.Group, complete: Complete) -> click.Command:
    """Return a command in whose place a shell completes names; its options are those of the real one."""
    names = click.Argument(["names"], nargs=-1, required=False, shell_complete=complete)
    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return _NamedWords(name, params=[names], context_settings=settings, group=group)


class _NamedWords(click.Command):
    def __init__(self, *words: Any, group: click.Group, **options: Any) -> None:  # noqa: ANN401 - as click's
        super().__init__(*words, **options)
        self._group = group

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        command = self._group.get_command(ctx, self.name or "")
        if command is None:
            return []
        return command.shell_complete(
            click.Context(command, parent=ctx.parent, info_name=self.name), incomplete
        )


def complete_images(
    context: click.Context, parameter: click.Parameter | None, incomplete: str
) -> list[CompletionItem]:
    """Return the images that begin so: the folders of flavors, and ``[images.NAME]``."""
    del parameter
    root = _root(context)
    if root is None:
        return []
    return _beginning({*_flavors(root), *_tables(root, "images")}, incomplete)


def complete_registries(
    context: click.Context, parameter: click.Parameter | None, incomplete: str
) -> list[CompletionItem]:
    """Return the registries of ``factory.toml`` that begin so."""
    del parameter
    root = _root(context)
    return [] if root is None else _beginning(set(_tables(root, "registries")), incomplete)


def _beginning(names: set[str], incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(name)
        for name in sorted(names)
        if name.startswith(incomplete) and _NAME.fullmatch(name)
    ]


def _root(context: click.Context) -> Path | None:
    given = context.params.get("root") or context.find_root().params.get("root")
    start = Path.cwd() if given is None else Path(given)
    places = (start,) if given is not None else (start, *start.parents)
    return next((place for place in places if (place / FLAVORS_FOLDER).is_dir()), None)


def _flavors(root: Path) -> Iterator[str]:
    with suppress(OSError):
        folders = (root / FLAVORS_FOLDER).iterdir()
        yield from (folder.name for folder in folders if (folder / "pyproject.toml").is_file())


def _tables(root: Path, name: str) -> Iterator[str]:
    """Yield the names of the tables below a table of the settings."""
    with suppress(FactoryError):
        table = read_settings(root).get(name)
        yield from table if isinstance(table, dict) else ()
