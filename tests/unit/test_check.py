"""Every rule of ``factory check``: what it finds, where, and what it leaves alone."""

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.breaches import BREACHES, LOCK, OPTION, RUN_MARK, TOML, Breach
from support.clean_flavor import NAME, PROJECT, lock_text, make_flavor, make_repository

from factory.check.check import check_flavor, check_flavors
from factory.check.finding import Finding
from factory.check.rules import RULES
from factory.flavor.project import parse_project
from factory.flavor.repository import Flavor

# What no edit of a file's text gives.
ELSEWHERE = {"FAC101", "FAC103", "FAC104", "FAC105", "FAC106", "FAC107", "FAC208", "FAC301", "FAC332"}
# What the repository's settings give: tests/unit/test_konflux_check.py.
KONFLUX = {"FAC501", "FAC502", "FAC503", "FAC504"}
# What coding agents read: tests/unit/test_init_agents.py.
AGENTS = {"FAC511"}
# What two files or two flavors give: tests/unit/test_check_indexes.py.
BETWEEN_FILES = {"FAC216", "FAC333", "FAC335"}
# What the locks of parents give: tests/integration/test_lock_children.py.
CHILDREN = {"FAC337", "FAC338"}
# What the owner of an image that is no flavor writes: tests/unit/test_new_image.py.
OWNED = {"FAC421"}
# What the SBOM beside the lock adds: tests/unit/test_check_sbom.py.
BILL = {"FAC336"}
TODAY = dt.date(2026, 11, 22)


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _check(flavor: Flavor) -> tuple[Finding, ...]:
    # The project is read once a run; each check here is a run of its own.
    return check_flavor(Flavor(flavor.folder), root=flavor.folder.parents[1], today=TODAY)


def _codes(flavor: Flavor) -> set[str]:
    return {finding.code for finding in _check(flavor)} - {"FAC208"}  # the one that PROJECT has


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} has no {old!r}: the breach would be none"
    path.write_text(text.replace(old, new) if old else new, encoding="utf-8")


def test_a_rendered_and_locked_flavor_has_no_finding_but_what_is_recorded_as_missing(flavor: Flavor) -> None:
    (found,) = _check(flavor)
    assert (found.code, found.severity) == ("FAC208", "warning")
    assert found.path == f"flavors/{NAME}/pyproject.toml"
    assert found.line == PROJECT.splitlines().index('requirement = "flash-attn>=2.8"') + 1
    assert "source distributions only" in found.message


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: f"{breach.code}-{breach.new.strip()[:40]}")
def test_a_breach_is_found_with_its_code_and_line(flavor: Flavor, breach: Breach) -> None:
    path = flavor.folder / breach.path
    _edit(path, breach.old, breach.new)
    found = [item for item in _check(flavor) if item.code == breach.code]
    assert found, f"{breach.code} is not among {_codes(flavor)}"
    first = found[0]
    # A finding about the lock stands in the lock, whichever of the two files was edited.
    assert first.path.rpartition("/")[2] in {breach.path, LOCK}
    assert breach.says in first.message
    if breach.at is None:
        assert first.line is None
    else:
        assert first.line is not None
        lines = (flavor.folder / first.path.rpartition("/")[2]).read_text(encoding="utf-8").splitlines()
        assert breach.at in lines[first.line - 1]


def test_every_rule_is_triggered_by_a_test() -> None:
    elsewhere = ELSEWHERE | BETWEEN_FILES | BILL | KONFLUX | AGENTS
    assert {breach.code for breach in BREACHES} | elsewhere == set(RULES) - CHILDREN - OWNED


@pytest.mark.parametrize(
    ("names", "found"), [(["nvidia-cublas", "cuda-toolkit"], True), (["cudasim"], False)]
)
def test_packages_for_gpus_are_found_in_a_cpu_flavor_only(
    tmp_path: Path, names: list[str], *, found: bool
) -> None:
    cpu = PROJECT.replace('accelerator = "cuda"\naccelerator-version = "13.0"', 'accelerator = "cpu"')
    repository = make_repository(tmp_path)
    extra = "".join(f"{name}==1.0 --hash=sha256:{'a' * 64}\n" for name in names)
    for project in (PROJECT, cpu):
        name = parse_project(project, where="pyproject.toml").spec.derived_name
        flavor = make_flavor(repository, name=name, project=project.replace(NAME, name))
        path = flavor.folder / LOCK
        path.write_text(path.read_text(encoding="utf-8") + extra, encoding="utf-8")
        assert ("FAC332" in _codes(flavor)) == (found and project is cpu)


def test_a_missing_file_is_found(flavor: Flavor) -> None:
    (flavor.folder / "Dockerfile.konflux").unlink()
    assert _codes(flavor) == {"FAC101"}


def test_a_wrong_mode_is_found(flavor: Flavor) -> None:
    (flavor.folder / "entrypoint-universal.sh").chmod(0o644)
    assert _codes(flavor) == {"FAC103"}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("notes.txt", "notes.txt"),
        (".hidden", ".hidden"),
        ("deep/er/file", "deep/"),
        ("requirements-konflux.txt", "requirements-konflux.txt"),
    ],
)
def test_a_stray_file_or_its_folder_is_found(flavor: Flavor, path: str, shown: str) -> None:
    stray = flavor.folder / path
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.touch()
    (found,) = (item for item in _check(flavor) if item.code == "FAC104")
    assert found.path.endswith(f"{NAME}/{shown}")


def test_a_stray_folder_is_one_finding_whatever_is_in_it(flavor: Flavor) -> None:
    for path in ("lib/a/b.py", "lib/c.py", "bin/python"):
        (flavor.folder / ".venv" / path).parent.mkdir(parents=True, exist_ok=True)
        (flavor.folder / ".venv" / path).touch()
    (flavor.folder / "empty").mkdir()
    found = [item for item in _check(flavor) if item.code == "FAC104"]
    assert [item.path.rpartition(f"{NAME}/")[2] for item in found] == [".venv/", "empty/"]
    assert all("this folder" in item.message for item in found)


@pytest.mark.parametrize("path", [LOCK, TOML, "LICENSE.md", "Dockerfile"])
def test_a_symbolic_link_in_place_of_a_file_is_a_finding(flavor: Flavor, path: str, tmp_path: Path) -> None:
    (flavor.folder / path).rename(tmp_path / "elsewhere")
    (flavor.folder / path).symlink_to(tmp_path / "elsewhere")
    (found,) = (item for item in _check(flavor) if item.code != "FAC208")
    assert (found.code, found.path) == ("FAC106", f"flavors/{NAME}/{path}")


def test_a_link_to_a_flavor_folder_is_a_finding_under_its_own_name(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    make_flavor(repository)
    (repository.flavors_folder / "alias").symlink_to(NAME)
    report = check_flavors([repository.flavor("alias")], root=tmp_path, today=TODAY)
    assert report.flavors == ("alias",)
    assert "FAC106" in {item.code for item in report.findings}
    assert all(item.path.startswith("flavors/alias/") for item in report.findings)


def test_a_folder_without_a_project_file_is_named_as_the_repository_knows_it(flavor: Flavor) -> None:
    for name in (TOML, LOCK):
        (flavor.folder / name).unlink()
    (found,) = _check(flavor)
    assert (found.code, found.path) == ("FAC201", f"flavors/{NAME}/{TOML}")
    assert found.message == "the folder has no pyproject.toml: it is not a flavor"
    assert found.solution.startswith("Remove the folder")


def test_what_is_asked_for_and_missing_is_not_told_to_be_asked_for(flavor: Flavor) -> None:
    _edit(flavor.folder / TOML, '"numpy>=2.0,<3"', '"numpy>=2.0,<3", "flash-attn"')
    codes = {finding.code for finding in _check(flavor)}
    assert "FAC211" in codes
    assert not {"FAC208", "FAC209"} & codes


def test_a_template_set_that_is_not_there_is_a_finding(flavor: Flavor) -> None:
    _edit(flavor.folder / TOML, "[[tool", 'template-set = "none-such"\n\n[[tool')
    (found,) = (item for item in _check(flavor) if item.code == "FAC105")
    assert "none-such" in found.message


def test_a_flavor_without_a_lock_gets_a_warning_and_nothing_about_its_pins(flavor: Flavor) -> None:
    (flavor.folder / LOCK).unlink()
    (found,) = (item for item in _check(flavor) if item.code != "FAC208")
    assert (found.code, found.severity) == ("FAC301", "warning")


def test_a_layer_may_name_the_whole_stack_and_what_is_recorded_as_missing(flavor: Flavor) -> None:
    path = flavor.folder / TOML
    named = '"torchvision", "nvidia-*", "flash-attn", "num*"'
    path.write_text(f"{PROJECT}\n[tool.factory.layers]\none = [{named}]\n", encoding="utf-8")
    assert "FAC219" not in _codes(flavor)
    _edit(path, '"num*"', "'trl'")
    _edit(path, '"urllib3>=2.6"', '"urllib3>=2.6", "trl"')
    (found,) = (item for item in _check(flavor) if item.code == "FAC219")
    # Not the constraint's line, which has the same text.
    assert found.line == len(path.read_text(encoding="utf-8").splitlines())


def test_a_lock_that_is_not_utf8_is_a_finding(flavor: Flavor) -> None:
    (flavor.folder / LOCK).write_bytes(b"numpy==2.4.1 # \xff\n")
    assert _codes(flavor) == {"FAC302"}


def test_a_lock_that_is_a_folder_is_a_finding(flavor: Flavor) -> None:
    (flavor.folder / LOCK).unlink()
    (flavor.folder / LOCK).mkdir()
    assert "FAC302" in _codes(flavor)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_edit_of_a_file_makes_the_check_fail(flavor: Flavor, data: st.DataObject) -> None:
    path = flavor.folder / data.draw(
        st.sampled_from([TOML, LOCK, "Dockerfile", "Dockerfile.konflux", "cuda.repo"])
    )
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(len(content), start + 40)))
    inserted = data.draw(st.binary(max_size=8) | st.sampled_from([b"\n", b'"', b"==", b"#", b"\\", b" && "]))
    try:
        path.write_bytes(content[:start] + inserted + content[stop:])
        _check(flavor)
    finally:
        path.write_bytes(content)


def test_a_broken_flavor_does_not_keep_the_others_from_being_checked(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    names = ("a-broken", NAME)
    broken, _ = (make_flavor(repository, name=name) for name in names)
    (broken.folder / TOML).write_bytes(b"\xff")
    (repository.flavors_folder / NAME / "LICENSE.md").unlink()
    report = check_flavors(repository.flavors(), root=tmp_path, today=TODAY)
    found = {(item.flavor, item.code) for item in report.findings if item.severity == "error"}
    assert found == {("a-broken", "FAC201"), (NAME, "FAC101")}
    assert report.flavors == names
    assert (report.errors, report.warnings) == (2, 1)


def test_the_lock_and_the_dockerfiles_of_a_broken_spec_are_still_checked(flavor: Flavor) -> None:
    _edit(flavor.folder / TOML, 'python = "3.12"', 'python = "3"')
    _edit(flavor.folder / LOCK, OPTION, f"{OPTION}trl==0.24.0\n")
    _edit(flavor.folder / "Dockerfile", RUN_MARK, f"{RUN_MARK}RUN dnf install gcc\n")
    assert _codes(flavor) == {"FAC201", "FAC304", "FAC309", "FAC405"}


@pytest.mark.parametrize(
    "line",
    [
        "RUN echo pip install trl",
        "RUN pip install --no-index --find-links /wheels trl",
        "RUN uv pip install --offline numpy",
        "RUN pip install --require-hashes -r /tmp/part.txt",
        "RUN pip install --no-deps --require-hashes -r requirements.txt",
        "RUN pip install -i https://x.org/ --trusted-host x --no-deps --require-hashes -r requirements.txt",
        "RUN pip install ./made-1-py3-none-any.whl",
        "RUN pip list && pip check",
        "RUN dnf clean all",
        "RUN rpm -qa",
        "RUN git --version && npm --version && curl --version",
        "# RUN dnf install gcc",
        "RUN true  # dnf install gcc",
        "RUN test ! -e /usr/bin/dnf && echo 'dnf install gcc; pip install trl'",
        "RUN echo repo_gpgcheck=0 gpgcheck=1",
        'HEALTHCHECK CMD ["curl", "https://localhost/"]',
        'RUN [ -d /opt ] && echo "there"',
        "RUN echo $((1<<2)) && cat <<<word",
        "COPY --from=builder /prepared /",
        "COPY --from=Builder /prepared /",
        "COPY --from=0 /prepared /",
        "COPY --from=${BASE_IMAGE} /etc/os-release /",
        "RUN --mount=type=bind,from=builder,target=/x true",
        "RUN uvx --version && uv tool run --offline ruff && uv python list",
        "RUN unset PIP_EXTRA_INDEX_URL && UV_INDEX= true",
        "RUN pip download --no-index --index-url https://me:$PASSWORD@x.example.com/ .",
        "RUN pip download --no-index --index-url https://$(cat /run/secrets/token)@x.example.com/ .",
        "ENV UV_DEFAULT_INDEX=https://x.example.com/simple",
        'LABEL maintainer="me@example.com" source="ssh://git@example.com/x"',
        "RUN uv pip sync --require-hashes /usr/share/factory/requirements.txt",
        "COPY sitecustomize.py /opt/app-root/lib/python3.12/site-packages/sitecustomize.py",
        "COPY --chmod=0644 sitecustomize.py own.pth /opt/app-root/lib/python3.12/site-packages/",
        "COPY --from=builder /opt/app-root/bin/tool /opt/app-root/bin/",
        "COPY notes.txt /opt/app-root",
        "RUN cp -r /a /b && rm -rf /tmp/uv-cache /tmp/.cache/uv",
        "RUN pip uninstall -y uvloop",
        "RUN uv pip install --offline NumPy 'urllib3>=2' \"$MORE\" ./made ./x-1-py3-none-any.whl",
        "ENV UV_REQUIRE_HASHES=1 UV_NO_VERIFY_HASHES=0",
        "RUN export LD_PRELOAD=$OTHER && unset LD_PRELOAD",
        "ENV LD_PRELOAD=/usr/lib64/libibverbs.so.1",
        "ENV LD_PRELOAD=/opt/app-root/lib/libtorch.so:$LD_PRELOAD",
        "LABEL vendor=Example url='https://example.com'",
        "RUN python -c 'import pip' install trl && python -m build setup.py install",
        "RUN echo setup.py install | xargs echo",
        'RUN eval "$(tool env)" && python3 -I -m pip --version',
        "ADD me@2x.png /x",
        "RUN echo localpkg_gpgcheck=1 && echo '[trusted=no]'",
        "COPY --from=builder /opt/tool/venv.py /opt/tool/",
        "COPY venv /opt/notes",
        "RUN tar -C /tmp -xf /x.tar && tar -C /x/site-packages -cf /y.tar .",
        "RUN --mount=type=bind,from=builder,target=/b cp /b/tool /opt/app-root/",
        "RUN rpm -e uvloop",
    ],
)
def test_what_fetches_nothing_is_no_finding(flavor: Flavor, line: str) -> None:
    _edit(flavor.folder / "Dockerfile", RUN_MARK, f"{RUN_MARK}{line}\n")
    assert _codes(flavor) == {"FAC102"}


def test_installs_inside_a_midstream_block_are_no_finding(flavor: Flavor) -> None:
    more = "dnf install -y gcc && curl -O https://example.com/x && dnf install"
    _edit(flavor.folder / "Dockerfile", "dnf install", more)
    assert _codes(flavor) == {"FAC102"}


def test_a_block_left_in_the_downstream_dockerfile_hides_nothing(flavor: Flavor) -> None:
    text = (flavor.folder / "Dockerfile").read_text(encoding="utf-8")
    (flavor.folder / "Dockerfile.konflux").write_text(text, encoding="utf-8")
    found = {(item.path.rpartition("/")[2], item.code) for item in _check(flavor)}
    assert ("Dockerfile.konflux", "FAC405") in found
    assert ("Dockerfile", "FAC405") not in found


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (LOCK, OPTION, f"{OPTION}--extra-index-url https://me:hunter2@x.example.com/\n"),
        (LOCK, OPTION, f"{OPTION}trl @ git+https://me:hunter2@x.example.com/trl\n"),
        (LOCK, "https://packages", "https://me:hunter2@packages"),
        ("Dockerfile", RUN_MARK, f"{RUN_MARK}RUN pip install git+https://me:hunter2@x.example.com/trl\n"),
        ("Dockerfile", RUN_MARK, f"{RUN_MARK}ADD https://me:hunter2@x.example.com/trl /\n"),
        ("Dockerfile", RUN_MARK, f"{RUN_MARK}RUN pip install https://me:s@hunter2@x.example.com/trl\n"),
        ("Dockerfile", RUN_MARK, f"{RUN_MARK}RUN curl me:s@hunter2@x.example.com/trl\n"),
        (TOML, '"numpy>=2.0,<3"', '"numpy @ https://me:s@hunter2@x.example.com/n.whl ; x"'),
    ],
)
def test_credentials_are_found_and_never_repeated(flavor: Flavor, path: str, old: str, new: str) -> None:
    _edit(flavor.folder / path, old, new)
    found = [item for item in _check(flavor) if item.severity == "error"]
    assert found
    assert "hunter2" not in repr(found)


def test_a_name_that_the_spec_gives_is_the_folders_name(tmp_path: Path) -> None:
    project = PROJECT.replace('python = "3.12"', 'python = "3.12"\nname = "big-one"').replace(NAME, "Big_One")
    assert _codes(make_flavor(make_repository(tmp_path), name="big-one", project=project)) == set()


def test_an_overridden_requirement_does_not_count(tmp_path: Path) -> None:
    project = PROJECT.replace('"numpy>=2.0,<3"', '"numpy>=2.0,<3", "protobuf<6", "torchvision>=1"')
    assert _codes(make_flavor(make_repository(tmp_path), project=project)) == set()


def test_a_dependency_for_one_of_the_platforms_has_to_be_locked(tmp_path: Path) -> None:
    project = PROJECT.replace('"numpy>=2.0,<3"', '"numpy>=2.0,<3", "trl<1; platform_machine == \'aarch64\'"')
    assert _codes(make_flavor(make_repository(tmp_path), project=project)) == {"FAC322"}


@pytest.mark.parametrize(
    "layout",
    [
        lambda text: text.replace("--index-url ", "--index-url="),
        lambda text: text.replace("--index-url ", "-i "),
        lambda text: re.sub(r"\n    # .*", "", text),
        lambda text: text.replace(" \\\n   ", ""),
        lambda text: text.replace(OPTION, "") + OPTION,
    ],
    ids=["equals", "short", "no-file-names", "one-line", "last-line"],
)
def test_a_lock_that_is_laid_out_in_another_way_was_edited_and_no_more(
    flavor: Flavor, layout: Callable[[str], str]
) -> None:
    (flavor.folder / LOCK).write_text(layout(lock_text()), encoding="utf-8")
    assert _codes(flavor) == {"FAC309"}


def _built_on(flavor: Flavor, base: str) -> Path:
    """The Dockerfile with one more stage at its end, built on ``base``; its last stage is called final."""
    path = flavor.folder / "Dockerfile"
    *_, last = (line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("FROM "))
    _edit(path, f"{last}\n", f"{last} AS final\n")
    path.write_text(f"{path.read_text(encoding='utf-8')}\nFROM {base}\nUSER 1001\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("base", "more"), [("Final", set()), ("quay.io/example/base:1", {"FAC414"})])
def test_a_stage_has_the_labels_of_the_stage_that_it_is_built_on(
    flavor: Flavor, base: str, more: set[str]
) -> None:
    _built_on(flavor, base)
    assert _codes(flavor) == {"FAC102"} | more
