"""The quick tests of images, as far as they need no container: versions, labels, dependencies, leftovers."""

import json
from pathlib import Path
from typing import Any

import pytest

from factory.image_tests.inside import contents, listening
from factory.image_tests.inventory import match_layers
from factory.image_tests.matching import conflicts, declared_labels, same_version
from factory.image_tests.subject import HistoryStep, parse_history, step_of

ENVIRONMENT = {"python_version": "3.11", "python_full_version": "3.11.9", "sys_platform": "linux"}


def _package(name: str, version: str, *requires: str, python: str | None = None) -> dict[str, Any]:
    return {"name": name, "version": version, "requires": list(requires), "python": python}


@pytest.mark.parametrize(
    ("packages", "problems"),
    [
        ([_package("a", "1", "B.c>=2"), _package("b-c", "2.1")], []),
        ([_package("a", "1", "b>=2"), _package("b", "1")], ["requires b>=2, and 1 is installed"]),
        ([_package("a", "1", "b")], ["requires b, and it is not installed"]),
        ([_package("a", "1", "b; extra == 'all'", "c; sys_platform == 'win32'")], []),
        ([_package("a", "1", "b; python_version >= '3.11'")], ["requires b, and it is not installed"]),
        ([_package("a", "1", "b>=2.0"), _package("b", "2.1rc1")], []),
        ([_package("a", "1", "torch==2.13.0"), _package("torch", "2.13.0+cpu")], []),
        ([_package("a", "1", python=">=3.12")], ["requires Python >=3.12, and 3.11.9 is installed"]),
        ([_package("a", "1", python=">=3.9,<4")], []),
        ([_package("a", "1", "what is (this", python="???")], []),
    ],
)
def test_what_pip_check_would_say(packages: list[dict[str, Any]], problems: list[str]) -> None:
    assert [conflict.problem for conflict in conflicts(packages, ENVIRONMENT)] == problems


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        ("2.13.0+cpu", "2.13.0", True),
        ("2.13.0+cpu", "2.13.0+cpu", True),
        ("2.13.0", "2.13.0+cpu", False),
        ("3.11", "3.11", True),
        ("2.13", "2.13.0", True),
        ("2.13.1", "2.13.0", False),
        ("nonsense", "2.13.0", False),
    ],
)
def test_a_local_version_counts_where_it_is_wanted(found: str, wanted: str, same: bool) -> None:  # noqa: FBT001
    assert same_version(found, wanted) is same


def test_the_labels_that_count_are_those_of_the_last_stage(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(
        'FROM a AS builder\nLABEL stage="builder"\nFROM b\nLABEL name="x y" \\\n  base="${BASE_IMAGE}"\n'
        "LABEL plain=1\n"
    )
    assert declared_labels(dockerfile) == {"name": "x y", "base": None, "plain": "1"}
    assert declared_labels(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("name", "compiler"),
    [
        ("gcc", True),
        ("gcc-12", True),
        ("x86_64-linux-gnu-g++-12", True),
        ("cc", True),
        ("clang++-17", True),
        ("nvcc", True),
        ("rustc", True),
        ("make", True),
        ("cc1plus", True),
        ("ccache-swig", False),
        ("gcov", False),
        ("makeconv", False),
        ("python3.11", False),
        ("ldconfig", False),
    ],
)
def test_what_a_compiler_is_called(name: str, compiler: bool) -> None:  # noqa: FBT001
    assert (contents.COMPILER.fullmatch(name) is not None) is compiler


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("home/.netrc", "machine a login b password c", "holds logins"),
        ("home/.netrc", "", None),
        ("home/.docker/config.json", "{}", None),
        ("home/.docker/config.json", '{ "auths": {} }', None),
        ("src/.git/config", "[remote]\n url = https://x:ghs_abc@github.com/a/b\n", "names a login"),
        ("src/.git/config", "[http]\n\textraheader = AUTHORIZATION: basic eA==\n", "names a login"),
        ("src/.git/config", "[remote]\n url = https://github.com/a/b\n", None),
        ("etc/pip.conf", "[global]\nindex-url = https://ghp_abc@index.example/simple", "names a login"),
        ("src/.env", "DEBUG=1\nexport HF_TOKEN=hf_abc\n", "names a secret"),
        ("src/.env", "DEBUG=1\nHF_TOKEN=\n", None),
        ("src/key.json", '{"private_key": "-----BEGIN PRIVATE KEY-----"}', "is a private key"),
        ("src/key.json", '{"public_key": "-----BEGIN PUBLIC KEY-----"}', None),
        ("home/.docker/config.json", '{"auths": {"a": {"auth": "eA=="}}}', "holds logins"),
        ("etc/pip.conf", "[global]\nindex-url = https://me:secret@index.example/simple", "names a login"),
        ("etc/pip.conf", "[global]\nindex-url = https://index.example/simple", None),
        ("etc/uv.toml", 'index-url = "https://me:secret@index.example/simple"', "names a login"),
        ("etc/uv.toml", 'index-url = "https://index.example/simple"', None),
        ("home/.ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "is a private key"),
        ("etc/pki/entitlement/123-key.pem", "-----BEGIN RSA PRIVATE KEY-----\n", "is a private key"),
        ("etc/pki/tls/cert.pem", "-----BEGIN CERTIFICATE-----\n", None),
        ("etc/ssh/ssh_host_ed25519_key", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "is a private key"),
        ("home/.ssh/id_ed25519.pub", "ssh-ed25519 AAAA", None),
        ("lib/python3.11/site-packages/tornado/test/test.key", "-----BEGIN PRIVATE KEY-----\n", None),
    ],
)
def test_what_is_a_credential(tmp_path: Path, path: str, text: str, kind: str | None) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert contents.secret_kind(str(file), file.name) == kind


@pytest.mark.parametrize(
    "path",
    [
        "opt/rh/gcc-toolset-13/" + "ro" + "ot/usr/bin/gcc",
        "usr/local/cuda-12.8/bin/nvcc",
        "usr/libexec/gcc/x86_64-redhat-linux/11/cc1",
    ],
)
def test_a_compiler_off_path_is_found(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.touch(mode=0o755)
    (file.parent / "crtbegin.o").touch()
    assert contents.compilers({}, str(tmp_path)) == [{"path": str(file), "owner": ""}]


@pytest.mark.parametrize(
    ("path", "stray"),
    [
        ("/tmp/builder/x", True),
        ("/cachi2/output/deps/pip/x.tar.gz", True),
        ("/layers/rest/requirements.txt", True),
        ("/opt/app-root/src/torch-2.13.0-cp311-cp311-linux_x86_64.whl", True),
        ("/usr/lib/python3.11/ensurepip/_bundled/pip-23.0.1-py3-none-any.whl", False),
        ("/opt/app-root/src/__pycache__/train.cpython-311.pyc", True),
        ("/opt/app-root/lib/python3.11/site-packages/torch/__pycache__/x.cpython-311.pyc", False),
        ("/opt/app-root/src/train.py", False),
        ("/tmpfiles/x", False),
    ],
)
def test_what_a_build_left(path: str, stray: bool) -> None:  # noqa: FBT001
    assert (contents.stray_kind(path, path.rpartition("/")[2]) is not None) is stray


@pytest.mark.parametrize(
    ("folder", "names", "kind"),
    [
        ("/opt/app-root/src/.cache/uv", [], "uv's cache"),
        ("/var/elsewhere", ["CACHEDIR.TAG", "archive-v0", "wheels-v5"], "uv's cache"),
        ("/var/elsewhere", ["CACHEDIR.TAG"], None),
        ("/opt/app-root/src/.cache/pip", [], "pip's cache"),
        ("/var/elsewhere", ["selfcheck", "http-v2"], "pip's cache"),
        ("/opt/app-root/src/.cache/huggingface", ["hub"], None),
    ],
)
def test_what_a_cache_is_known_by(folder: str, names: list[str], kind: str | None) -> None:
    assert contents.cache_kind(folder, names) == kind


def test_the_environment_of_markers_is_packaging_s_own() -> None:
    from packaging.markers import default_environment  # noqa: PLC0415

    assert contents.environment() == default_environment()


def test_a_socket_that_listens_is_found() -> None:
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port in listening.ports()
    assert port not in listening.ports()


def test_history_of_podman_and_docker_is_read_from_the_first_step_on() -> None:
    podman = json.dumps([{"size": 7, "CreatedBy": "RUN b"}, {"size": 0, "CreatedBy": "ENV a"}])
    docker = '{"Size": "1.5kB", "CreatedBy": "RUN b"}\n{"Size": "0B", "CreatedBy": "ENV a"}\n'
    assert parse_history(podman) == (HistoryStep(size=0, text="ENV a"), HistoryStep(size=7, text="RUN b"))
    assert parse_history(docker) == (HistoryStep(size=0, text="ENV a"), HistoryStep(size=1500, text="RUN b"))


@pytest.mark.parametrize(
    ("sizes", "digests", "told"),
    [
        ((5, 0, 7), 2, [5, 7]),
        ((5, 0, 7), 3, [5, 0, 7]),
        ((5, 0, 7), 4, [0, 0, 0, 0]),
        ((), 1, [0]),
    ],
)
def test_layers_and_steps_are_told_apart_by_their_number(
    sizes: tuple[int, ...], digests: int, told: list[int]
) -> None:
    steps = tuple(HistoryStep(size=size, text="RUN x") for size in sizes)
    layers = match_layers(tuple(f"sha256:{number}" for number in range(digests)), steps)
    assert [layer.size for layer in layers] == told


@pytest.mark.parametrize(
    ("text", "shown", "what"),
    [
        (
            "RUN |1 HF_TOKEN=abc pip install x",
            "RUN |1 HF_TOKEN=*** pip install x",
            ["the value of HF_TOKEN"],
        ),
        ('ENV A_PASSWORD="a b" C=d', "ENV A_PASSWORD=*** C=d", ["the value of A_PASSWORD"]),
        ("RUN TOKEN=$(cat /run/secrets/t) x", "RUN TOKEN=$(cat /run/secrets/t) x", []),
        ("RUN TOKEN=/run/secrets/t x", "RUN TOKEN=/run/secrets/t x", []),
        ("RUN get https://me:it@host/x", "RUN get https://***@host/x", ["the login of a URL"]),
        ("RUN get https://me:$IT@host/x", "RUN get https://***@host/x", []),
        ("ARG TOKEN", "ARG TOKEN", []),
        ("ENV TOKENIZERS_PARALLELISM=false", "ENV TOKENIZERS_PARALLELISM=false", []),
        ("ENV MAX_TOKENS=4096 MAX_TOKEN='7'", "ENV MAX_TOKENS=4096 MAX_TOKEN='7'", []),
        ("ENV AWS_ACCESS_KEY_ID=AKIA", "ENV AWS_ACCESS_KEY_ID=***", []),
        ("ENV PGPASSWORD=abc", "ENV PGPASSWORD=***", ["the value of PGPASSWORD"]),
    ],
)
def test_a_credential_in_a_step_is_told_and_not_shown(text: str, shown: str, what: list[str]) -> None:
    step = step_of(1, text)
    assert (step.text, list(step.credentials)) == (shown, what)
