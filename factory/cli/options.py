"""Options that every command has, and what they make: the repository and the console."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, get_args

import click

from factory.clock import restart_timings
from factory.console import Console
from factory.flavor.project import ImageFolder
from factory.flavor.repository import Repository, find_repository
from factory.images.definitions import BuilderName, VariantOptions
from factory.transaction import forget_finished

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass
class Invocation:
    """One run of the command: the repository and the console."""

    root: Path | None = None
    console: Console = field(default_factory=Console)

    @cached_property
    def repository(self) -> Repository:
        """The repository; raises NotFoundError outside of one."""
        return self.repository_of()

    def images(self, names: Iterable[str] = ()) -> tuple[ImageFolder, ...]:
        """Return the named images that install packages, or all of them if none is named."""
        named = tuple(names)
        return self.repository_of(*named).select(named)

    def images_or_all(self, names: tuple[str, ...], *, every: bool) -> tuple[ImageFolder, ...]:
        """Return what `images` does; raises UsageError unless either names or ``--all`` is given."""
        if bool(names) == every:
            raise click.UsageError("Name images, or give --all: one of the two.")
        return self.images(names)

    def repository_of(self, *flavors: str) -> Repository:
        """Return the repository or, outside of one, that of the images that are given as paths."""
        found = find_repository(self.root, start=Path.cwd(), flavors=flavors)
        for said in found.finished:
            self.console.note(said)
        return found


def images_argument(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Add the images that a command is about: of any kind, by name or by path."""
    return click.argument("images", metavar="[IMAGE]...", nargs=-1)(command)


def begin(*, root: Path | None, json_output: bool, quiet: bool = False, timings: bool = False) -> Invocation:
    """Begin a run, of which nothing was changed yet."""
    forget_finished()
    restart_timings()
    invocation = Invocation(root=root, console=Console(json_output=json_output, quiet=quiet))
    invocation.console.timings = timings
    return invocation


def allow_other_build(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Add ``--allow-other-build`` to a command that locks."""
    return click.option(
        "--allow-other-build",
        "other_builds",
        is_flag=True,
        help="Let another build of a package take the place of the one that is locked, such as one for "
        "another accelerator.",
    )(command)


def variant_options(command: Callable[Parameters, Result]) -> Callable[..., Result]:
    """Add the options that mean another variant of images than the settings do: ``variant``."""

    @click.option(
        "--downstream/--midstream",
        default=None,
        help="Mean the images built downstream, or midstream. Default: as factory.toml says.",
    )
    @click.option("--base-image", metavar="REF", help="Mean the images built on this base image.")
    @click.option(
        "--builder",
        type=click.Choice(get_args(BuilderName)),
        help="Mean the images built by the engine, or in a layout.",
    )
    @wraps(command)
    def wrapper(
        *arguments: Any,  # noqa: ANN401
        downstream: bool | None,
        base_image: str | None,
        builder: BuilderName | None,
        **options: Any,  # noqa: ANN401
    ) -> Result:
        variant = VariantOptions(downstream=downstream, base_image=base_image, builder=builder)
        return command(*arguments, variant=variant, **options)  # type: ignore[arg-type]

    return wrapper


def common(
    command: Callable[Concatenate[Invocation, Parameters], Result],
) -> Callable[..., Result]:
    """Add the options that the group has as well (``--root``, ``--json`` …); pass the `Invocation`."""

    @click.option(
        "--root",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="The repository; default: the nearest folder upwards that holds flavors/.",
    )
    @click.option("--json", "json_output", is_flag=True, help="Print the result as one JSON document.")
    @click.option(
        "--quiet", "-q", is_flag=True, help="Print no progress: the result, warnings and errors alone."
    )
    @click.option("--timings", is_flag=True, help="Say how long each kind of operation took, also as JSON.")
    @click.pass_context
    @wraps(command)
    def wrapper(
        context: click.Context,
        /,
        *,
        root: Path | None,
        json_output: bool,
        quiet: bool,
        timings: bool,
        **options: Any,  # noqa: ANN401
    ) -> Result:
        invocation: Invocation = context.ensure_object(Invocation)
        if root is not None:
            invocation.root = root
        if json_output:
            invocation.console.json_output = True
        if quiet:
            invocation.console.quiet = True
        if timings:
            invocation.console.timings = True
        try:
            return command(invocation, **options)  # type: ignore[call-arg]
        finally:
            # Of a group the command that follows says it.
            if context.invoked_subcommand is None:
                invocation.console.show_timings()

    return wrapper
