"""Every rule of ``factory check``: what it finds, where, and what it leaves alone."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clean_flavor import INDEX, NAME, PROJECT, lock_text, make_flavor, make_repository

from factory.check.check import check_flavor, check_flavors
from factory.check.finding import Finding
from factory.check.rules import RULES
from factory.flavor.repository import Flavor

HEX = "a" * 64
LOCK = "requirements.txt"
TOML = "pyproject.toml"
RUN_MARK = "USER 1001\n"


@dataclass(frozen=True)
class Breach:
    """An edit of one file of a clean flavor, and the finding that it must give.

    ``at`` is text of the line that the finding must point to; None where it points to no line.
    """

    code: str
    path: str
    old: str
    new: str
    at: str | None
    says: str = ""


def _toml(code: str, old: str, new: str, at: str | None, says: str = "") -> Breach:
    return Breach(code, TOML, old, new, at, says)


def _lock(code: str, old: str, new: str, at: str | None, says: str = "") -> Breach:
    return Breach(code, LOCK, old, new, at, says)


def _docker(code: str, line: str, at: str, says: str = "") -> Breach:
    """One more line in the final stage, outside the MIDSTREAM ONLY block."""
    return Breach(code, "Dockerfile", RUN_MARK, f"{RUN_MARK}{line}\n", at, says)


UV = "[tool.uv]\n"
OPTION = f"--index-url {INDEX}\n"
FIRST_DIGEST = lock_text().partition("--hash=sha256:")[2][:64]
OTHER_DIGEST = f"{FIRST_DIGEST[:-1]}{'0' if FIRST_DIGEST[-1] != '0' else '1'}"
# The last entry, and one that nothing in PROJECT depends on.
URLLIB3_PIN = lock_text()[lock_text().index("urllib3==") :]
BREACHES = [
    Breach("FAC102", "LICENSE.md", "", "Another licence.\n", None),
    _toml("FAC201", 'torch = "2.11.0"\n', "", None, "lacks torch"),
    _toml("FAC201", "[tool.factory]", "[tool.factory", None, "is not TOML"),
    _toml("FAC201", '"numpy>=2.0,<3"', '"numpy==2 0"', None, "PEP 508"),
    _toml("FAC202", 'torch = "2.11.0"', 'torch = "2.10.0"', "[tool.factory]", "torch2100"),
    _toml("FAC202", 'torch = "2.11.0"', 'torch = "2.11.0"\nname = "big"', "[tool.factory]", "big"),
    _toml("FAC203", "torch==2.11.0", "torch==2.10.0", "torch==2.10.0", "the spec says torch 2.11.0"),
    _toml("FAC203", "[lora]==0.9.2", "[lora]<0.9", "training-hub", "training-hub 0.9.2"),
    _toml("FAC203", '"urllib3>=2.6"', '"Training_Hub<0.9"', "Training_Hub", "constraint-dependencies"),
    _toml("FAC204", "==3.12.*", "==3.11.*", "requires-python", "3.12"),
    _toml("FAC204", "==3.12.*", "three", "requires-python", "three"),
    _toml("FAC205", UV, f'{UV}index-url = "https://pypi.example.com/"\n', "index-url", "index-url"),
    _toml("FAC205", UV, f"{UV}sources = {{}}\n", "sources", "sources"),
    _toml("FAC205", UV, f'[tool.uv.pip]\nextra-index-url = ["https://x.example.com"]\n{UV}', "extra-index"),
    _toml("FAC206", UV, f'{UV}index-strategy = "unsafe-best-match"\n', "index-strategy"),
    _toml("FAC206", UV, f'[tool.uv.pip]\nindex-strategy = "unsafe-first-match"\n{UV}', "index-strategy"),
    _toml("FAC207", UV, f'{UV}exclude-newer = "2026-01-01"\n', "exclude-newer"),
    _toml("FAC209", "flash-attn>=2.8", "numpy>=1", 'requirement = "numpy>=1"', "numpy==2.4.1"),
    _lock("FAC302", OPTION, f"{OPTION}trl @@ here\n", "trl @@ here"),
    _lock("FAC303", "numpy==2.4.1", "numpy>=2.4.1", "numpy>=2.4.1"),
    _lock("FAC303", "numpy==2.4.1", "numpy==2.4.*", "numpy==2.4.*"),
    _lock("FAC303", OPTION, f"{OPTION}trl @ git+https://git.example.com/trl\n", "trl @ git"),
    _lock("FAC304", OPTION, f"{OPTION}trl==0.24.0\n", "trl==0.24.0"),
    _lock("FAC305", "urllib3==2.6.2", "urllib3==2.6.2 ; sys_platform == 'linux'", "urllib3"),
    _lock("FAC306", OPTION, f"{OPTION}NumPy==2.4.1 --hash=sha256:{HEX}\n", "numpy==2.4.1", "second time"),
    *(
        _lock("FAC307", OPTION, f"{OPTION}{line}\n", line)
        for line in (
            "--extra-index-url https://pypi.example.com/simple",
            "--find-links wheels",
            "-f wheels",
            "--no-index",
            "--only-binary=:all:",
            "--pre",
        )
    ),
    _lock("FAC307", OPTION, "--index-url file:///srv/simple\n", "file:///"),
    _lock("FAC308", OPTION, f"{OPTION}-r more.txt\n", "-r more.txt"),
    _lock("FAC308", OPTION, f"{OPTION}--constraint more.txt\n", "--constraint more.txt"),
    _lock("FAC309", FIRST_DIGEST, OTHER_DIGEST, None, "`factory lock` wrote"),
    _lock("FAC309", OPTION, f"{OPTION}evil-pkg==1.0 --hash=sha256:{HEX}\n", None),
    _lock("FAC309", URLLIB3_PIN, "", None),
    _lock("FAC309", "# contents: sha256:", "# contents were sha256:", None),
    _lock("FAC310", FIRST_DIGEST, FIRST_DIGEST[:60], "numpy==2.4.1", "60 digits, not 64"),
    _lock("FAC310", FIRST_DIGEST, f"{FIRST_DIGEST}00", "numpy==2.4.1", "66 digits, not 64"),
    _lock("FAC321", "# inputs: sha256:", "# inputs were sha256:", None, "does not say"),
    _toml("FAC321", "numpy>=2.0,<3", "numpy>=2.1,<3", None, "has changed"),
    _toml("FAC322", '"numpy>=2.0,<3"', '"numpy>=2.0,<3", "trl"', None, "trl"),
    _toml("FAC323", "numpy>=2.0,<3", "numpy>=2.0,<2.4", "numpy==2.4.1", "dependencies"),
    _toml("FAC323", "urllib3>=2.6", "urllib3>=2.7", "urllib3==2.6.2", "constraint-dependencies"),
    _toml("FAC323", '"urllib3>=2.6"', '"protobuf<6"', "protobuf==6.33.0", "constraint-dependencies"),
    _toml("FAC323", "protobuf>=6", "protobuf<6", "protobuf==6.33.0", "override-dependencies"),
    _lock("FAC324", "torch==2.11.0+cu130", "torch==2.10.0+cu130", "torch==2.10.0", "torch 2.11.0"),
    _lock("FAC324", "training-hub==0.9.2", "training-hub==0.8.0", "training-hub==0.8.0"),
    _lock("FAC325", OPTION, "", None, INDEX),
    _lock("FAC326", "cuda13.0/simple", "cpu/simple", "--index-url", "cpu/simple"),
    _toml("FAC326", f'index-url = "{INDEX}"\n', "", "--index-url", "the spec none"),
    _lock("FAC327", OPTION, f"{OPTION}{OPTION}", "--index-url", "a second index"),
    _lock("FAC328", "https://packages", "https://me:secret@packages", "--index-url", "credentials"),
    _lock("FAC329", "# urllib3-2.6.2", "# urllib3-2.6.1", "urllib3==2.6.2", "urllib3-2.6.1"),
    _lock("FAC329", "# protobuf-6.33.0-py3-none-any.whl", "# protobuf-6.33.0.tar.gz", "protobuf", ".tar.gz"),
    _lock("FAC329", "numpy-2.4.1-cp312-cp312", "numpy-2.4.1-cp311-cp311", "numpy==2.4.1", "cp311"),
    _lock("FAC329", "manylinux_2_28_x86_64", "musllinux_1_2_x86_64", "==2.", "musllinux"),
    _lock("FAC330", "cp312-manylinux_2_28_aarch64", "cp312-manylinux_2_28_x86_64", "==2.", "linux/arm64"),
    Breach("FAC401", "Dockerfile", "# END MIDSTREAM ONLY", "# The end", "########", "never closed"),
    _docker("FAC402", "RUN pip install git+https://git.example.com/trl.git@main", "RUN pip", "git+https"),
    _docker("FAC402", "RUN uv pip install https://example.com/a-1-py3-none-any.whl", "RUN uv", "https://"),
    _docker("FAC402", 'RUN python3 -m pip install "trl @ git+ssh://git@example.com/trl"', "RUN python3"),
    _docker("FAC402", "RUN pip install -r https://example.com/requirements.txt", "RUN pip"),
    _docker("FAC403", "RUN true && \\\n    pip3 install \\\n    # why\n    flash-attn", "    flash-attn"),
    _docker("FAC403", "RUN if true; then uv pip install trl; fi", "uv pip install trl"),
    _docker("FAC403", "RUN sh -c 'cd / && pip install trl'", "pip install trl"),
    _docker("FAC403", 'RUN echo "$(pip install trl)"', "pip install trl"),
    _docker("FAC403", "RUN sudo -u root /opt/app-root/bin/pip install trl", "pip install trl"),
    _docker("FAC403", "RUN pip install -r extra.txt", "extra.txt"),
    _docker("FAC403", "RUN uv tool install ruff", "uv tool"),
    _docker("FAC404", "RUN curl -LO https://example.com/model.bin", "curl"),
    _docker("FAC404", "RUN umask 002; wget -q $URL", "wget"),
    _docker("FAC404", "RUN git clone --depth=1 https://git.example.com/x", "git clone"),
    _docker("FAC404", "ADD https://example.com/x.tar.gz /x", "ADD"),
    _docker("FAC405", "RUN dnf install -y gcc", "dnf install"),
    _docker("FAC405", "RUN --mount=type=cache,target=/var/cache apt-get -y install gcc", "apt-get"),
    _docker("FAC405", "RUN npm ci", "npm ci"),
    _docker("FAC405", "RUN conda install -y faiss", "conda"),
    _docker("FAC406", 'RUN ["touch", "/x"]', "RUN ["),
    _docker("FAC406", "RUN <<EOF\ntouch /x\nEOF", "RUN <<EOF"),
    _docker("FAC406", "RUN cat > /x <<'EOF'\nFROM scratch\nEOF", "RUN cat"),
    _docker("FAC402", 'RUN ["pip", "install", "git+https://git.example.com/x"]', "git+https"),
    _docker("FAC405", "RUN bash -e <<EOF\ndnf -y install gcc\nEOF", "RUN bash"),
    _docker("FAC407", "RUN echo gpgcheck=0 > /etc/yum.repos.d/x.repo", "gpgcheck=0"),
    Breach("FAC407", "Dockerfile", "dnf install -y", "dnf install -y --nogpgcheck", "--nogpgcheck"),
    Breach("FAC407", "cuda.repo", "gpgcheck=1", "gpgcheck = 0", "gpgcheck = 0"),
    _docker("FAC408", "ENV UV_INDEX_STRATEGY=unsafe-best-match", "ENV UV_INDEX"),
    Breach(
        "FAC402", "Dockerfile.konflux", RUN_MARK, f"{RUN_MARK}RUN pip install git+https://x.org/y\n", "git+"
    ),
]
# What no edit of a file's text gives.
ELSEWHERE = {"FAC101", "FAC103", "FAC104", "FAC105", "FAC208", "FAC301"}


@pytest.fixture
def flavor(tmp_path: Path) -> Flavor:
    return make_flavor(make_repository(tmp_path))


def _check(flavor: Flavor) -> tuple[Finding, ...]:
    # The project is read once a run; each check here is a run of its own.
    return check_flavor(Flavor(flavor.folder), root=flavor.folder.parents[1])


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
    assert {breach.code for breach in BREACHES} | ELSEWHERE == set(RULES)


def test_a_missing_file_is_found(flavor: Flavor) -> None:
    (flavor.folder / "Dockerfile.konflux").unlink()
    assert _codes(flavor) == {"FAC101"}


def test_a_wrong_mode_is_found(flavor: Flavor) -> None:
    (flavor.folder / "entrypoint-universal.sh").chmod(0o644)
    assert _codes(flavor) == {"FAC103"}


@pytest.mark.parametrize("path", ["notes.txt", ".hidden", "deep/er/file", "requirements-konflux.txt"])
def test_a_stray_file_is_found(flavor: Flavor, path: str) -> None:
    stray = flavor.folder / path
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.touch()
    (found,) = (item for item in _check(flavor) if item.code == "FAC104")
    assert found.path.endswith(f"{NAME}/{path}")


def test_a_template_set_that_is_not_there_is_a_finding(flavor: Flavor) -> None:
    _edit(flavor.folder / TOML, "[[tool", 'template-set = "none-such"\n\n[[tool')
    (found,) = (item for item in _check(flavor) if item.code == "FAC105")
    assert "none-such" in found.message


def test_a_flavor_without_a_lock_gets_a_warning_and_nothing_about_its_pins(flavor: Flavor) -> None:
    (flavor.folder / LOCK).unlink()
    (found,) = (item for item in _check(flavor) if item.code != "FAC208")
    assert (found.code, found.severity) == ("FAC301", "warning")


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
    report = check_flavors(repository.flavors(), root=tmp_path)
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
        "RUN uv pip install --offline trl",
        "RUN pip install --require-hashes -r /tmp/part.txt",
        "RUN pip install -r requirements.txt",
        "RUN pip install --index-url https://example.com/simple --trusted-host x -r requirements.txt",
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
        (LOCK, OPTION, f"{OPTION}--extra-index-url https://me:secret@x.example.com/\n"),
        (LOCK, OPTION, f"{OPTION}trl @ git+https://me:secret@x.example.com/trl\n"),
        (LOCK, "https://packages", "https://me:secret@packages"),
        ("Dockerfile", RUN_MARK, f"{RUN_MARK}RUN pip install git+https://me:secret@x.example.com/trl\n"),
        ("Dockerfile", RUN_MARK, f"{RUN_MARK}ADD https://me:secret@x.example.com/trl /\n"),
    ],
)
def test_credentials_are_found_and_never_repeated(flavor: Flavor, path: str, old: str, new: str) -> None:
    _edit(flavor.folder / path, old, new)
    found = [item for item in _check(flavor) if item.severity == "error"]
    assert found
    assert "secret" not in repr(found)


def test_a_name_that_the_spec_gives_is_the_folders_name(tmp_path: Path) -> None:
    project = PROJECT.replace('python = "3.12"', 'python = "3.12"\nname = "big-one"')
    assert _codes(make_flavor(make_repository(tmp_path), name="big-one", project=project)) == set()


def test_an_overridden_requirement_does_not_count(tmp_path: Path) -> None:
    project = PROJECT.replace('"numpy>=2.0,<3"', '"numpy>=2.0,<3", "protobuf<6", "torchvision>=1"')
    assert _codes(make_flavor(make_repository(tmp_path), project=project)) == set()


def test_a_dependency_for_one_of_the_platforms_has_to_be_locked(tmp_path: Path) -> None:
    project = PROJECT.replace('"numpy>=2.0,<3"', '"numpy>=2.0,<3", "trl; platform_machine == \'aarch64\'"')
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


def test_the_line_endings_of_a_checkout_are_no_edit(flavor: Flavor) -> None:
    (flavor.folder / LOCK).write_text(lock_text(), encoding="utf-8", newline="\r\n")
    assert _codes(flavor) == set()
