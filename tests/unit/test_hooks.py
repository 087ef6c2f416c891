"""Hooks: where the template puts them, what is refused in them, and the files that they copy."""

import datetime as dt
from pathlib import Path

import pytest
from support.clean_flavor import NAME, PROJECT, make_flavor, make_repository
from support.golden import GOLDEN

from factory.check.check import check_flavors
from factory.dockerfile.instructions import read_instructions
from factory.downstream.context import write_context
from factory.errors import DriftError, NotFoundError, SpecError, TemplateError
from factory.flavor.project import Project, parse_project
from factory.flavor.repository import Flavor, Repository
from factory.render.create import FlavorRequest, create_flavor
from factory.render.drift import find_drift, sync_flavor
from factory.render.render import render_flavor

TODAY = dt.date(2026, 11, 22)

HOOKS = r"""
[tool.factory.hooks]
environment = { HF_HOME = "/opt/cache", OWN_PATH = "/opt/own:${PATH}", SAID = 'say "\$5" to #1' }
system-packages = ["jq", "gcc-c++-11*"]
midstream = "RUN touch /midstream"
before-install = '''
# one more
USER 0
RUN touch /before && \
    true
'''
after-install = '''
COPY --chmod=0644 own.py conf/own.cfg /opt/own/
'''
files = ["own.py", "conf/own.cfg", "extra.repo"]
"""
REPOSITORY_FILE = "[extra]\nbaseurl=https://rpm.example.com\ngpgcheck=1\n"


def _project(hooks: str) -> Project:
    return parse_project(PROJECT + hooks, where="pyproject.toml")


def _rendered(hooks: str, path: str = "Dockerfile") -> str:
    files = {file.path: file.content.decode() for file in render_flavor(_project(hooks), name=NAME)}
    return files[path]


def _instructions(text: str) -> list[str]:
    return [f"{item.name} {' '.join(item.text.split())}" for item in read_instructions(text.splitlines())]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path)


@pytest.fixture
def flavor(repository: Repository) -> Flavor:
    made = make_flavor(repository, project=PROJECT + HOOKS)
    (made.folder / "conf").mkdir()
    (made.folder / "own.py").write_text("OWN = 1\n")
    (made.folder / "conf" / "own.cfg").write_text("own\n")
    (made.folder / "extra.repo").write_text(REPOSITORY_FILE)
    return Flavor(made.folder)


def test_a_flavor_without_hooks_is_rendered_as_with_empty_ones() -> None:
    empty = (
        '[tool.factory.hooks]\nenvironment = {}\nsystem-packages = []\nmidstream = ""\n'
        'before-install = "\\n"\nafter-install = ""\nfiles = []\n'
    )
    assert render_flavor(_project(empty), name=NAME) == render_flavor(_project(""), name=NAME)


def test_every_hook_stands_in_its_place() -> None:
    found = _instructions(_rendered(HOOKS))
    places = [
        next(number for number, line in enumerate(found) if line.startswith(start))
        for start in (
            "COPY cuda.repo mellanox.repo extra.repo /etc/yum.repos.d/",
            "RUN dnf install",
            "RUN touch /midstream",
            'ENV HF_HOME="/opt/cache"',
            'ENV OWN_PATH="/opt/own:${PATH}"',
            r'ENV SAID="say \"\$5\" to #1"',
            "USER 0",
            "RUN touch /before && true",
            "COPY --from=builder /layers/accelerator/",
            "RUN /bin/sh /usr/share/factory/package-layers.sh",
            "COPY --from=builder /layers/rest/",
            "COPY --chmod=0644 own.py conf/own.cfg /opt/own/",
            "COPY --chmod=0644 requirements.txt",
            "COPY --from=builder /prepared/",
        )
        if not start.startswith("USER")
    ]
    assert places == sorted(places)
    (dnf,) = (line for line in found if line.startswith("RUN dnf"))
    assert "'jq' 'gcc-c++-11*' && dnf clean all" in dnf.replace(" \\", "")


def test_the_downstream_build_has_the_hooks_for_both_builds_and_not_those_for_midstream() -> None:
    text = _rendered(HOOKS, "Dockerfile.konflux")
    assert all(words in text for words in ("HF_HOME", "/before", "own.py conf/own.cfg"))
    assert not any(words in text for words in ("'jq'", "/midstream", "extra.repo"))


def test_what_a_hook_does_as_root_ends_before_the_packages_are_installed() -> None:
    users, installer = "", ""
    for line in _instructions(_rendered(HOOKS)):
        users = line if line.startswith("USER") else users
        installer = users if "package-layers.sh install" in line else installer
    assert (installer, users) == ("USER 1001", "USER 1001")


def test_hooks_add_lines_and_change_none() -> None:
    plain = GOLDEN / "cuda" / "input" / "pyproject.toml"
    text = plain.read_text(encoding="utf-8")
    without, with_hooks = (
        {
            file.path: file.content.decode()
            for file in render_flavor(parse_project(each, where="x"), name=NAME)
        }
        for each in (text, text + HOOKS.replace(', "extra.repo"', ""))
    )
    rest = iter(with_hooks["Dockerfile"].splitlines())
    assert all(line in rest for line in without["Dockerfile"].splitlines())
    assert {path for path in without if without[path] != with_hooks[path]} == {
        "Dockerfile",
        "Dockerfile.konflux",
    }


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        ("environment = { 1X = 'a' }", "'1X' cannot be the name"),
        ("environment = { 'A B' = 'a' }", "'A B' cannot be the name"),
        ("environment = { BASE_IMAGE = 'a' }", "BASE_IMAGE is the template's"),
        ('environment = { A = "a\\nRUN b" }', "more than one line"),
        ('environment = { A = "a\\tb" }', "control character"),
        ("environment = { A = 'a\\b' }", "backslash"),
        ("environment = { A = 'a\\' }", "backslash"),
        ("environment = { A = 'cost: 5$' }", "begins no reference"),
        ("environment = { A = '${A' }", "begins no reference"),
        ("environment = { A = '$(id)' }", "begins no reference"),
        ("environment = { A = '${A:-\"}' }", "begins no reference"),
        ("environment = { A = 1 }", "table of strings"),
        ("system-packages = ['-y']", "'-y' is not the name"),
        ("system-packages = [\"a' && rm -rf /'\"]", "is not the name"),
        ("system-packages = ['https://x.example.com/a.rpm']", "is not the name"),
        ("system-packages = ['']", "'' is not the name"),
        ("midstream = 'FROM other'", "midstream: line 1: FROM is not for a hook"),
        ("before-install = 'ARG BASE_IMAGE=other'", "ARG BASE_IMAGE is the template's"),
        ("before-install = 'ENV A=1 BASE_IMAGE=other'", "ENV BASE_IMAGE"),
        ("before-install = 'RUN a <<EOF\nb\nEOF'", "heredoc"),
        ("before-install = 'COPY <<EOF /x'", "heredoc"),
        ('before-install = \'RUN ["a", "b"]\'', "exec form"),
        ("before-install = 'RUN --mount=type=cache,target=/x [\"a\"]'", "exec form"),
        ("after-install = 'RUN a && \\'", "cut short"),
        ("after-install = 'RUN a && \\\n# b'", "cut short"),
        ("after-install = 'RUN true && \\\n  run me'", "begins with RUN"),
        ("after-install = 'install -y jq'", "'INSTALL' begins no instruction"),
        ("after-install = 'RUN'", "has nothing after it"),
        ("after-install = 'USER 0\nENTRYPOINT a'", "line 2: ENTRYPOINT is not for a hook"),
        ("after-install = 'CMD a'", "CMD is not"),
        ("after-install = 'SHELL [\"bash\"]'", "SHELL is not"),
        ("after-install = 'ONBUILD RUN a'", "ONBUILD is not"),
        ("after-install = '# MIDSTREAM ONLY: mine'", "marker"),
        ("after-install = '##########\n# END MIDSTREAM ONLY\n##########'", "marker"),
        ("after-install = '# escape=`'", "parser directive"),
        ('after-install = "RUN a\\rRUN b"', "control character"),
        ("files = ['../x']", "'../x' cannot be"),
        ("files = ['/etc/passwd']", "'/etc/passwd' cannot be"),
        ("files = ['a/./b']", "cannot be"),
        ("files = ['-x']", "cannot be"),
        ("files = ['pyproject.toml']", "cannot be"),
        ("files = ['requirements-other.txt']", "cannot be"),
        ("files = ['Dockerfile.mine']", "cannot be"),
        ("files = ['.dockerignore']", "cannot be"),
        ("before = ''", "unknown keys: before"),
    ],
)
def test_what_would_leave_its_place_is_refused(hook: str, says: str) -> None:
    written = hook.replace("'", "'''") if "\n" in hook else hook
    with pytest.raises(SpecError) as refused:
        _project(f"[tool.factory.hooks]\n{written}\n")
    assert says in refused.value.reason + refused.value.solution


@pytest.mark.parametrize(
    "value",
    ["", " ", "a b", "'", '"', "${A}", "$A", "${A:+:${A}}", "${A:-x}", r"\$A", "a=b", "#", "{}"],
)
def test_values_that_a_dockerfile_can_hold_are_taken(value: str) -> None:
    project = _project(f"[tool.factory.hooks]\nenvironment = {{ A = '''{value}''' }}\n")
    assert project.spec.hooks.environment == (("A", value),)


def test_a_generated_name_is_no_file_of_its_own() -> None:
    with pytest.raises(TemplateError, match=r"LICENSE\.md"):
        _rendered('[tool.factory.hooks]\nfiles = ["LICENSE.md"]\n')


def test_files_of_its_own_are_not_stray(flavor: Flavor) -> None:
    assert find_drift(flavor) == ()
    (flavor.folder / "conf" / "other.cfg").write_text("")
    assert [(item.path, item.kind) for item in find_drift(flavor)] == [("conf/other.cfg", "stray")]


def test_a_flavor_with_hooks_is_clean(flavor: Flavor, repository: Repository) -> None:
    found = check_flavors([flavor], root=repository.root, today=TODAY).findings
    assert {item.code for item in found} == {"FAC208"}


@pytest.mark.parametrize("how", ["missing", "link", "linked folder"])
def test_a_file_that_is_not_there_is_a_finding_that_sync_cannot_mend(
    flavor: Flavor, repository: Repository, how: str
) -> None:
    own = flavor.folder / "conf" / "own.cfg"
    if how == "linked folder":
        own.parent.rename(repository.root / "conf")
        own.parent.symlink_to(repository.root / "conf")
    else:
        own.unlink()
    if how == "link":
        own.symlink_to("/etc/hostname")
    sync_flavor(flavor)
    (found,) = (
        item
        for item in check_flavors([flavor], root=repository.root, today=TODAY).findings
        if item.code == "FAC101"
    )
    assert found.path.endswith("conf/own.cfg")
    with pytest.raises(DriftError, match=r"conf/own\.cfg"):
        write_context(flavor, repository.root / "context")


def test_the_context_holds_files_of_its_own_and_no_repository_file(flavor: Flavor, tmp_path: Path) -> None:
    context = write_context(flavor, tmp_path / "context")
    assert (context.folder / "conf" / "own.cfg").read_text() == "own\n"
    assert not (context.folder / "extra.repo").exists()
    assert "extra.repo" in context.left_out


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("RUN pip install flash-attn", "FAC403"),
        ("RUN pip install git+https://git.example.com/x", "FAC402"),
        ("RUN curl -O https://example.com/x", "FAC404"),
        ("RUN dnf install -y jq", "FAC405"),
    ],
)
def test_the_rules_for_dockerfiles_hold_in_hooks(repository: Repository, line: str, code: str) -> None:
    project = f"{PROJECT}\n[tool.factory.hooks]\nafter-install = '{line}'\n"
    found = check_flavors(
        [make_flavor(repository, project=project)], root=repository.root, today=TODAY
    ).findings
    assert {item.code for item in found if item.path.endswith("Dockerfile.konflux")} == {code}


def test_a_flavor_made_from_another_has_its_hooks_and_its_files(
    repository: Repository, flavor: Flavor
) -> None:
    (flavor.folder / "own.py").chmod(0o755)
    created = create_flavor(repository, _next(), source=flavor)
    assert created.spec.hooks == flavor.project.spec.hooks
    assert (created.folder / "own.py").stat().st_mode & 0o100
    assert find_drift(repository.flavor(created.name)) == ()


def test_a_flavor_is_not_made_from_one_that_lacks_a_file(repository: Repository, flavor: Flavor) -> None:
    (flavor.folder / "own.py").unlink()
    with pytest.raises(NotFoundError, match=r"own\.py"):
        create_flavor(repository, _next(), source=flavor)
    assert [path.name for path in repository.flavors_folder.iterdir()] == [flavor.name]


def _next() -> FlavorRequest:
    return FlavorRequest(
        accelerator="cuda", accelerator_version="13.0", torch="2.12.0", python="3.12", training_hub="0.9.2"
    )
