"""yamllint over all our YAML, shellcheck over its scripts, no scalar that YAML 1.1 reads its own way.

Not @ibm/tekton-lint: 1.1.0 knows no matrices and crashed on some sets of our files. `tekton.semantic` is what
looks at references here.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tekton.scripts import scripts
from tekton.sources import ROOT, sources
from yamllint import linter
from yamllint.config import YamlLintConfig

CONFIG = YamlLintConfig((ROOT / ".yamllint.yaml").read_text(encoding="utf-8"))
SOURCES = tuple(sources())
# What YAML 1.1, Kubernetes' YAML, takes for a boolean and PyYAML for a string; yamllint knows the others.
ONE_LETTER = frozenset("yYnN")


SCRIPTS = tuple(scripts())


def _complaints(*scripts: Path) -> str:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which(
        "shellcheck"
    )
    assert shellcheck is not None, "shellcheck is missing: pip install -r requirements-dev.txt"
    return subprocess.run(
        [shellcheck, "--norc", "--shell=bash", "--format=gcc", *scripts],
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_yamllint_finds_nothing() -> None:
    found = {each.name: [str(problem) for problem in linter.run(each.text, CONFIG)] for each in SOURCES}
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_no_letter_stands_for_a_boolean() -> None:
    assert {each.name: lines for each in SOURCES if (lines := _letters(each.text))} == {}


def _letters(text: str) -> list[int]:
    return [
        token.start_mark.line + 1
        for token in yaml.scan(text)
        if isinstance(token, yaml.ScalarToken) and token.plain and token.value in ONE_LETTER
    ]


def test_shellcheck_finds_nothing_in_a_script(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}-{name.replace('/', '-')}" for number, (name, _) in enumerate(SCRIPTS)]
    for path, (_, script) in zip(paths, SCRIPTS, strict=True):
        path.write_text(script, encoding="utf-8")
    assert _complaints(*paths) == ""


def test_every_script_is_looked_at() -> None:
    """Else the table above could be empty and nothing fail."""
    written = sum(
        line.strip().startswith("script:")
        for source in SOURCES
        if not source.is_block
        for line in source.text.splitlines()
    )
    assert len(SCRIPTS) >= written > 0


@pytest.mark.parametrize(
    "text",
    [
        "a: yes\n",
        "a: 010\n",
        "a: 1\na: 2\n",
        "a:\n- b\n",
        "a: 1  \n",
        "a:\n",
        f"a: {'long words ' * 12}\n",
        "on: push\n",
        "a: 1",
    ],
)
def test_yamllint_is_strict(text: str) -> None:
    assert list(linter.run(text, CONFIG))


@pytest.mark.parametrize(
    ("text", "lines"), [("a: y\n", [1]), ('a: "y"\n', []), ("a:\n  - N\n", [2]), ("a: yy\n", [])]
)
def test_a_letter_that_stands_for_a_boolean_is_found(text: str, lines: list[int]) -> None:
    assert _letters(text) == lines


@pytest.mark.parametrize(
    "line", ["rm $1", "cd /somewhere; echo `ls`", "for f in $(ls); do :; done", "cat $(results.X.path)"]
)
def test_shellcheck_is_strict(line: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{line}\n", encoding="utf-8")
    assert _complaints(script)
