"""Every Dockerfile that the templates give, after Konflux has rewritten its RUNs: read again, and whole."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.golden import CASES, GOLDEN
from support.konflux_rewrite import PROGRAMS, SOURCED, rewritten
from support.small_flavors import make_flavor

from factory.dockerfile.instructions import Instruction, read_instructions
from factory.render.drift import sync_flavor

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DOCKERFILES = [
    *(GOLDEN / case / "expected" / name for case in CASES for name in ("Dockerfile", "Dockerfile.konflux")),
    *sorted(ROOT.glob("flavors/*/Dockerfile*")),
]
HOOKS = r"""
[tool.factory.hooks]
before-install = '''
USER 0
RUN --mount=type=tmpfs,target=/scratch \
    --network=none \
    echo "RUN and run again" > /scratch/a && \
    run-parts --test /etc/nothing || true
'''
after-install = '''
RUN umask 002 && \
    # run this comment
    echo 'a run of its own'
'''
"""


def _read(text: str) -> tuple[Instruction, ...]:
    return read_instructions(text.split("\n"))


def _runs(instructions: Sequence[Instruction]) -> list[str]:
    return [" ".join(item.text.split()) for item in instructions if item.name == "RUN"]


def _flags_and_command(text: str) -> tuple[str, str]:
    words = text.split(" ")
    flags = next(number for number, word in enumerate(words) if not word.startswith("--"))
    return " ".join(words[:flags]), " ".join(words[flags:])


def _assert_only_the_line_was_put_in(before: str, after: str) -> None:
    """Every RUN has it once, behind its flags, and nothing else has changed."""
    old, new = _read(before), _read(after)
    assert [item.name for item in new] == [item.name for item in old]
    assert [item.text for item in new if item.name != "RUN"] == [
        item.text for item in old if item.name != "RUN"
    ]
    for was, text in zip(_runs(old), _runs(new), strict=True):
        flags, command = _flags_and_command(was)
        # Between the line and the command stands the backslash that sed writes, which joining takes out.
        assert text == " ".join(f"{flags} {SOURCED}{command}".split())
        assert text.count(SOURCED.strip()) == 1


def _id(path: Path) -> str:
    return f"{path.parent.name if path.parent.name != 'expected' else path.parents[1].name}/{path.name}"


@pytest.mark.parametrize("how", PROGRAMS)
@pytest.mark.parametrize("path", DOCKERFILES, ids=_id)
def test_every_run_of_a_rendered_dockerfile_sources_the_environment_once(path: Path, how: str) -> None:
    before = path.read_text()
    assert _runs(_read(before))
    _assert_only_the_line_was_put_in(before, rewritten(before, how))


def test_a_flavor_s_own_runs_with_flags_survive_the_later_way(tmp_path: Path) -> None:
    flavor = make_flavor(tmp_path, index_url=None)
    with (flavor.folder / "pyproject.toml").open("a") as project:
        project.write(HOOKS)
    sync_flavor(flavor)
    before = (flavor.folder / "Dockerfile.konflux").read_text()
    assert "--network=none" in before
    _assert_only_the_line_was_put_in(before, rewritten(before, "behind the flags"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RUN a\n", "RUN . /cachi2/cachi2.env && \\\n    a\n"),
        ("run a\n", "run . /cachi2/cachi2.env && \\\n    a\n"),
        ("  RUN  a\n", "  RUN  . /cachi2/cachi2.env && \\\n    a\n"),
        ("RUN --mount=a,b=/x a\n", "RUN --mount=a,b=/x . /cachi2/cachi2.env && \\\n    a\n"),
        (
            "FROM x\nRUN --a=1 \\\n    --b=2 \\\n    a\n",
            "FROM x\nRUN --a=1 \\\n    --b=2 \\\n    . /cachi2/cachi2.env && \\\n    a\n",
        ),
        ("RUN \\\n  a\n", "RUN \\\n  . /cachi2/cachi2.env && \\\n    a\n"),
        ("# RUN a\nLABEL run=1\nCMD ['run']\n", "# RUN a\nLABEL run=1\nCMD ['run']\n"),
    ],
)  # fmt: skip
def test_the_later_way_is_what_it_is_said_to_be(before: str, after: str) -> None:
    assert rewritten(before, "behind the flags") == after


def test_the_older_way_breaks_flags_so_that_no_template_may_have_any() -> None:
    """The reason why the RUNs of the templates have none."""
    assert _runs(_read(rewritten("RUN --mount=type=tmpfs,target=/x a\n", "line by line"))) == [
        ". /cachi2/cachi2.env && --mount=type=tmpfs,target=/x a"
    ]
