"""The commands that an instruction of a Dockerfile runs."""

import re
import shlex

from factory.dockerfile.instructions import Instruction
from factory.dockerfile.shell import Command, commands, exec_form

_HEREDOC_SHELL = re.compile(r"(?:<<|(?:/\S*/)?(?:ba|da)?sh\b)")


def run_commands(instruction: Instruction) -> tuple[Command, ...]:
    """The simple commands of a RUN instruction, in any of its forms; none for another instruction."""
    if instruction.name != "RUN":
        return ()
    text = instruction.operands
    words = exec_form(text)
    if words is not None:
        # As a shell would be given it, so that ["sh", "-c", "…"] is looked into.
        return commands(shlex.join(words))
    if instruction.heredoc is not None and _HEREDOC_SHELL.match(text):
        return (*commands(text), *commands(instruction.heredoc))
    return commands(text)


def operands(instruction: Instruction) -> tuple[str, ...]:
    """The sources and the destination of a COPY or ADD, in either form."""
    text = instruction.operands
    return exec_form(text) or tuple(word.strip("\"'") for word in text.split())
