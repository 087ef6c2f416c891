"""Names from outside that an engine would take for its options: labels, arguments, Dockerfiles, settings."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.built import factory
from support.clean_flavor import PROJECT, make_flavor, make_repository
from support.podman import podman

from factory.dockerfile.references import find_reference
from factory.engine import engine as engine_module
from factory.engine.engine import Engine, Operand, call_engine, engine_words, find_engine, skopeo_words
from factory.engine.images import find_image, find_images
from factory.errors import ImageError, SpecError
from factory.flavor.project import parse_project
from factory.image_tests.subject import find_base, find_subject
from factory.publish.source import find_source

PACKAGE = Path(engine_module.__file__).parents[1]
NO_IMAGES = (
    "--help",
    "-v",
    "-a/a:1",
    "../a:5000",
    "./a",
    "a/-b:1",
    "a:-b",
    "--authfile=/etc/shadow",
    "a b",
    "a:1\n--help",
    "docker://a/b:1",
    "",
)
SPEC_ERROR = SpecError.exit_code
# What podman, docker and skopeo print where an option asks for help.
USAGE = "Usage:"
COMMANDS = frozenset({"engine_words", "call_engine", "run_engine", "engine_run", "skopeo_words"})


@pytest.fixture(scope="module")
def labelled(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image whose label names a base image that podman would take for an option."""
    name = "localhost/option-as-a-base:1"
    text = 'FROM scratch\nLABEL org.opencontainers.image.base.name="--help"\n'
    words = ("--quiet", "--network", "none", "--tag", name, "--file", "-", ".")
    podman("build", *words, given=text, cwd=tmp_path_factory.mktemp("labelled"))
    yield name
    podman("image", "rm", "--force", name)


@pytest.mark.container
def test_label_that_is_an_option_names_no_base_image(labelled: str) -> None:
    engine = find_engine("podman")
    subject = find_subject(engine, labelled, repository=None, flavor=None)
    assert subject.configuration.labels["org.opencontainers.image.base.name"] == "--help"
    assert find_base(engine, subject) is None


@pytest.mark.container
@pytest.mark.parametrize("name", NO_IMAGES)
def test_no_image_of_an_option_like_name_is_looked_for(engine: None, name: str) -> None:
    podman_ = find_engine("podman")
    with pytest.raises(SpecError, match="is not an image reference"):
        find_image(podman_, name)
    with pytest.raises(SpecError, match="is not an image reference"):
        find_subject(podman_, name, repository=None, flavor=None)
    with pytest.raises(SpecError, match="is not an image reference"):
        find_source(name, engine="podman")


@pytest.mark.parametrize("name", ["dir:folder", "oci:folder", "docker-archive:file"])
def test_place_of_images_is_not_taken_for_the_name_of_one(name: str) -> None:
    with pytest.raises(SpecError, match="another place"):
        Operand.image(name)


@pytest.mark.parametrize(
    "name", ["dir:5000/x", "oci:5000/x:1", f"oci:5000/x@sha256:{'0' * 64}", "oci:x", "docker:latest"]
)
def test_place_of_images_that_looks_like_a_host_with_a_port_is_no_reference(name: str) -> None:
    """`podman run dir:5000/x` opens the folder 5000/x of where it is started, not a registry."""
    with pytest.raises(SpecError, match="is not an image reference"):
        Operand.image(name)
    with pytest.raises(SpecError, match="base-image"):
        parse_project(PROJECT.replace("quay.io/example/base:1", name), where="pyproject.toml")


@pytest.mark.container
def test_option_like_name_is_refused_by_every_command_that_takes_one(engine: None, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    flavor = make_flavor(make_repository(root)).name
    for words in (
        ("test", "--", "--help"),
        ("push", "--to", "127.0.0.1:1/a", "--", "-a/a:1"),
        ("build", flavor, "--base-image", "--help:1", "--dry-run"),
        ("build", flavor, "--tag", "-a/a:1", "--dry-run"),
    ):
        told = factory("--root", root, "--json", *words, status=SPEC_ERROR)
        assert USAGE not in told, words


@pytest.mark.parametrize("name", [name for name in NO_IMAGES if "\n" not in name])
def test_base_image_of_a_spec_that_is_an_option_is_refused(tmp_path: Path, name: str) -> None:
    project = PROJECT.replace("quay.io/example/base:1", name)
    assert f'base-image = "{name}"' in project
    with pytest.raises(SpecError, match="base-image"):
        parse_project(project, where="pyproject.toml")


@pytest.mark.container
@pytest.mark.parametrize("name", ["-a/a:1", f"-a/a@sha256:{'0' * 64}"])
def test_copy_from_an_option_is_refused_when_planned(labelled: str, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "images" / "hostile"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nCOPY --from={name} /x /x\n")
    table = f'[images.hostile]\nkind = "stack"\nparent = "{labelled}"\n'
    (tmp_path / "factory.toml").write_text(table)
    (tmp_path / "flavors").mkdir()
    told = factory("--root", tmp_path, "--json", "build", "hostile", status=ImageError.exit_code)
    assert f"takes from {name}" in told


def test_references_of_the_distribution_grammar_are_read_in_their_parts() -> None:
    digest = f"sha256:{'0' * 64}"
    cases = {
        "a": ("", "a", None, None),
        "team/a:1": ("", "team/a", "1", None),
        "localhost/a": ("localhost", "a", None, None),
        "host:5000/a/b__c:T_1": ("host:5000", "a/b__c", "T_1", None),
        "[::1]:5000/a:1": ("[::1]:5000", "a", "1", None),
        "Host/a": ("Host", "a", None, None),
        f"quay.io/a/b--c:1@{digest}": ("quay.io", "a/b--c", "1", digest),
    }
    for text, parts in cases.items():
        found = find_reference(text)
        assert found is not None, text
        assert (found.domain, found.path, found.tag, found.digest) == parts
        assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        *NO_IMAGES,
        "0" * 64,
        f"sha256:{'0' * 64}",
        "A",
        "a/B",
        "a..b",
        "a___b",
        "-host.example/a",
        "host-.example/a",
        "a:",
        f"a:{'x' * 129}",
        "a@sha256:00",
        f"a@sha256:{'G' * 64}",
        f"{'a/' * 128}a",
        "a" * 5000,
    ],
)
def test_what_the_distribution_grammar_does_not_read_is_no_reference(text: str) -> None:
    assert find_reference(text) is None


def test_only_one_module_makes_calls_of_engines_and_checked_operands() -> None:
    elsewhere = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != Path(engine_module.__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr == "program")
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == "Operand")
        or (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "run"
            and any(
                isinstance(inner, ast.Constant) and inner.value in {"podman", "docker", "buildah", "skopeo"}
                for inner in ast.walk(node)
            )
        )
    ]
    assert not elsewhere


def _calls() -> Iterator[tuple[str, str]]:
    """Every command of podman and of skopeo that the package calls with operands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or "operands" not in {word.arg for word in node.keywords}:
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            if name in COMMANDS and texts:
                yield ("skopeo" if name == "skopeo_words" else "podman"), str(texts[0])


CALLS = sorted(set(_calls()))


@pytest.mark.container
@pytest.mark.parametrize(("program", "command"), CALLS, ids=" ".join)
def test_every_command_takes_what_is_behind_two_dashes_for_a_name(
    engine: None, program: str, command: str
) -> None:
    option, place = Operand("--help"), Operand("/nowhere/at-all")
    podman_ = find_engine("podman")
    words = (
        skopeo_words(command, operands=[option, place])
        if program == "skopeo"
        else engine_words(podman_, command, operands=[option] if command != "cp" else [option, place])
    )
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    # podman repeats the usage of a command only where it is asked for.
    assert USAGE not in done.stdout
    assert "Options:" not in done.stdout + done.stderr


def test_every_call_of_an_engine_was_found() -> None:
    commands = {command for program, command in CALLS if program == "podman"}
    assert {"build", "run", "exec", "cp", "create", "rm", "tag", "pull", "push", "save", "logs"} <= commands
    assert {"image inspect", "image exists", "image mount", "history", "inspect"} <= commands
    assert ("skopeo", "copy") in CALLS


TASKS = sorted((PACKAGE.parent / "tekton").rglob("*.yaml"))
# Not in comments and messages: a program that is called, and one of its commands.
_CALL = re.compile(
    r"(?:^|[ (])((?:buildah|podman|skopeo) (?:build|pull|push|run|inspect|copy|delete)\b[^#\n]*)"
)


def test_calls_of_tekton_tasks_have_two_dashes_before_names() -> None:
    calls = [
        (path.name, call)
        for path in TASKS
        for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        if not line.lstrip().startswith("#")
        for call in _CALL.findall(line)
        if "$" in call
    ]
    assert len(calls) >= 7
    assert not [call for call in calls if " -- " not in call[1]]


def test_operands_stand_behind_two_dashes_and_arguments_behind_them() -> None:
    engine = Engine(kind="podman", program=Path("/usr/bin/podman"))
    image = Operand.image("quay.io/a/b:1")
    words = engine_words(engine, "run", "--rm", operands=[image], arguments=["sh", "--help"])
    assert words[1:] == ("run", "--rm", "--", "quay.io/a/b:1", "sh", "--help")


@pytest.mark.container
def test_names_that_an_image_cannot_have_are_asked_of_no_engine(engine: None) -> None:
    podman_ = find_engine("podman")
    with pytest.raises(SpecError):
        find_images(podman_, ["localhost/a:1", "--help"])
    found = call_engine(podman_, "image inspect", operands=[Operand.image("localhost/not-there:1")])
    assert found.status != 0
    assert json.loads(found.stdout or "[]") == []
