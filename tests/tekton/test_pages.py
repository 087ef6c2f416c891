"""docs/tekton.md and docs/konflux.md name only files, commands and options that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from factory.cli.main import COMMANDS, group

ROOT = Path(__file__).parents[2]
PAGES = ("docs/tekton.md", "docs/konflux.md")
_FILE = re.compile(
    r"(?<![\w/.$-])(?P<path>(?:tekton|docs|scripts|templates|benchmarks|\.tekton)/[\w./-]*\w/?)(?![\w*/<{])"
)
_CONSOLE = re.compile(r"^```console\n.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")
_COMMAND = re.compile(r"(?<![\w/.-])factory (?P<rest>[a-z][a-z-]*(?: +(?:--?[\w-]+|[A-Z…\w./\"$-]+))*)")
_KUBECTL = re.compile(r"kubectl [^\n]*?--(?:filename|kustomize) (?P<path>[\w./-]+)")


def _page(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")


def _commands(page: str) -> Iterator[list[str]]:
    """The words of each ``factory …`` in code: spans, and lines of blocks."""
    text = _page(page)
    spans = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^(?:\$ )?(factory .*)$", text, re.MULTILINE)
    for span in spans:
        for match in _COMMAND.finditer(span):
            yield match["rest"].split()


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    # What stands in a console block is run as it is shown, in a repository of its own.
    text = _CONSOLE.sub("", _page(page))
    named = {match["path"] for match in _FILE.finditer(text)}
    assert named
    assert not sorted(path for path in named if not (ROOT / path).exists())


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    targets = {match["target"] for match in _LINK.finditer(_page(page))}
    inside = {target for target in targets if "://" not in target}
    assert inside
    assert not sorted(target for target in inside if not (ROOT / page).parent.joinpath(target).exists())


@pytest.mark.parametrize("page", PAGES)
def test_what_kubectl_is_given_is_there_to_be_given(page: str) -> None:
    for match in _KUBECTL.finditer(_page(page)):
        path = ROOT / match["path"]
        assert path.exists(), match[0]
        assert "--kustomize" not in match[0] or (path / "kustomization.yaml").is_file(), match[0]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_of_a_page_exists(page: str) -> None:
    seen = 0
    for words in _commands(page):
        assert words[0] in COMMANDS, shlex.join(words)
        command = group.get_command(click.Context(group), words[0])
        assert command is not None
        options = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
        unknown = {
            word.split("=")[0] for word in words[1:] if word.startswith("-") and word != "--"
        } - options
        assert not unknown, shlex.join(words)
        seen += 1
    assert seen
