"""Options that every command has, and what they give: the repository and the console."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from factory.console import Console

if TYPE_CHECKING:
    from factory.flavor.repository import Repository

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass
class Invocation:
    """What one run of the command was given beside the command's own options."""

    root: Path | None = None
    console: Console = field(default_factory=Console)

    @cached_property
    def repository(self) -> "Repository":
        """The repository; raises NotFoundError where there is none."""
        # Here, so that `--version` and `--help` start without what reads versions and requirements.
        from factory.flavor.repository import find_repository  # noqa: PLC0415

        return self._told(find_repository(self.root, start=Path.cwd()))

    def repository_of(self, *flavors: str) -> "Repository":
        """The repository or, outside of one, that of the flavors that are given as paths."""
        from factory.flavor.repository import find_repository  # noqa: PLC0415

        return self._told(find_repository(self.root, start=Path.cwd(), flavors=flavors))

    def _told(self, repository: "Repository") -> "Repository":
        for said in repository.finished:
            self.console.note(said)
        return repository


def allow_other_build(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Give a command that locks ``--allow-other-build``."""
    return click.option(
        "--allow-other-build",
        "other_builds",
        is_flag=True,
        help="Let another build of a package take the place of the one that is locked, such as one for "
        "another accelerator.",
    )(command)


def common(
    command: Callable[Concatenate[Invocation, Parameters], Result],
) -> Callable[..., Result]:
    """Give a command ``--root`` and ``--json``, which the group takes as well, and the `Invocation`."""

    @click.option(
        "--root",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="The repository; default: the nearest folder upwards that holds flavors/.",
    )
    @click.option("--json", "json_output", is_flag=True, help="Print the result as one JSON document.")
    @click.pass_context
    @wraps(command)
    def wrapper(
        context: click.Context,
        /,
        *,
        root: Path | None,
        json_output: bool,
        **options: Any,  # noqa: ANN401
    ) -> Result:
        invocation: Invocation = context.ensure_object(Invocation)
        if root is not None:
            invocation.root = root
        if json_output:
            invocation.console.json_output = True
        return command(invocation, **options)  # type: ignore[call-arg]

    return wrapper
