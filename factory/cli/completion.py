"""``factory completion``: the script by which a shell completes commands, options and names."""

import click
from click.shell_completion import get_completion_class

from factory.cli.options import Invocation, common

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print the script that completes names in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@common
@click.pass_context
def command(context: click.Context, invocation: Invocation, *, shell: str) -> None:
    """Print the script by which a shell completes commands, options, and the names of images.

    \b
    bash:  eval "$(factory completion bash)"      in ~/.bashrc
    zsh:   eval "$(factory completion zsh)"       in ~/.zshrc, below compinit
    fish:  factory completion fish > ~/.config/fish/completions/factory.fish
    """  # noqa: D301 - the escape is click's, and keeps the lines below it apart
    script = completion_script(shell, context.find_root().command)
    invocation.console.result({"shell": shell, "script": script}, script.rstrip())


def completion_script(shell: str, group: click.Command) -> str:
    """Return click's script for a shell, which asks ``factory`` itself for what may come next."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click completes nothing in {shell}.")
    return kind(group, {}, "factory", "_FACTORY_COMPLETE").source()
