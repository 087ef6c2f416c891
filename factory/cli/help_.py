"""``factory help``: the help of a command, as its ``--help`` prints it."""

import click

from factory.cli.options import Invocation, common


@click.command("help", short_help="Show the help of a command, or of all.")
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
@common
@click.pass_context
def command(context: click.Context, invocation: Invocation, *, words: tuple[str, ...]) -> None:
    """Show the help of a command, as its --help does; of the whole without one.

    A command of a group has two words: `factory help registry prune`.
    """
    place = context.find_root()
    for word in words:
        if not isinstance(place.command, click.Group):
            raise click.UsageError(
                f"`{place.command_path}` has no commands of its own, such as {word!r}.", place
            )
        _, found, _ = place.command.resolve_command(place, [word])
        if found is None:
            raise click.UsageError(f"No such command {word!r}.", place)
        place = click.Context(found, info_name=word, parent=place)
    text = place.get_help()
    invocation.console.result({"command": " ".join(words), "help": text}, text)
