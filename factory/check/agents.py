"""The rule about the files of `factory init --agent`: as this factory writes them."""

from pathlib import Path

from factory.check.finding import Problem
from factory.init.agents import drifted_agent_files

_SOLUTION = (
    "Run `factory sync`. To have another text there, write a file without the line that says it is generated."
)


def check_agent_files(root: Path) -> tuple[Problem, ...]:
    """Return FAC511 for each missing or changed file, if the repository has generated ones of that agent.

    Raises:
        StorageError: the file system refused.
    """
    return tuple(
        Problem(
            code="FAC511",
            path=file.path,
            message="a file of `factory init --agent` is missing"
            if file.state == "missing"
            else "differs from what this factory writes",
            solution=_SOLUTION,
        )
        for file in drifted_agent_files(root)
    )
