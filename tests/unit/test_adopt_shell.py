"""Shell text taken apart: chains, what each part comes to, and the pairs of ENV and LABEL."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.adopt.commands import read_part, split_chain
from factory.dockerfile.instructions import pair_text, read_pairs


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("a",)),
        ("a && b c; d", ("a", "b c", "d")),
        ("a && b &&", ("a", "b")),
        ("a 'x && y' && b \"; z\"", ("a 'x && y'", 'b "; z"')),
        ("a \\; b && c", ("a \\; b", "c")),
        ("a $(b && c) && d", ("a $(b && c)", "d")),
        ("a > f 2>&1 && b", ("a > f 2>&1", "b")),
        ("a | b && c", ("a | b", "c")),
        ("a || b", None),
        ("a & b", None),
        ("if a; then b; fi", None),
        ("a && for x in y; do z; done", None),
        ("{ a; }", None),
        ("(a; b)", None),
        ("a 'b", None),
        ("", ()),
    ],
)
def test_a_plain_chain_is_split_and_nothing_else_is(text: str, parts: tuple[str, ...] | None) -> None:
    assert split_chain(text) == parts


@given(st.lists(st.sampled_from(["a", "b 'c && d'", 'e "f;g"', "h $(i; j)", "k > l", "m \\; n"]), min_size=1))
@settings(deadline=None)
def test_splitting_takes_nothing_away(parts: list[str]) -> None:
    assert split_chain(" && ".join(parts)) == tuple(parts)


UPGRADED = ("pip>=26.1.2", "setuptools>=80")


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("dnf install -y --nodocs a 'b-1*'", "packages", ("a", "b-1*")),
        ("microdnf -y install a", "packages", ("a",)),
        ("dnf install -y cuda-nvcc-${V}", "packages", ("cuda-nvcc-13-0",)),
        ("dnf install -y $UNKNOWN", "midstream", None),
        ("dnf install -y --enablerepo=x a", "midstream", None),
        ("dnf install -y https://x.example.com/a.rpm", "midstream", None),
        ("dnf upgrade -y openssl", "midstream", None),
        ("dnf clean all", "template", None),
        ("rm -rf /var/cache/dnf", "template", None),
        ("rm -rf /opt/data", "own", None),
        ("fix-permissions /opt/app-root", "rights", None),
        ("chmod -R g+w /opt/app-root /opt/data", "own", None),
        ("chgrp -R 0 /opt/app-root", "rights", None),
        ("uv pip install -r requirements.txt --no-deps", "install", None),
        ("pip install --no-cache-dir -r /tmp/requirements-dev.txt", "install", None),
        ("uv pip sync pylock.toml", "install", None),
        ("uv sync --frozen", "install", None),
        ("pip install .", "install", None),
        ("pip install pip uv wheel", "tools", None),
        ("pip install --upgrade pip uv", "requirements", ("pip", "uv")),
        ('pip install --upgrade "pip>=26.1.2" "setuptools>=80"', "requirements", UPGRADED),
        ("pip install -U 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("pip install -qU 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("pip install 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("python -m pip install --upgrade 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("python3.12 -Im pip install -U 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("/opt/app-root/bin/pip3 install -U 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("uv pip install --system -U 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("PIP_NO_INPUT=1 pip install -U 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("sh -c \"pip install -U 'pip>=26.1.2' 'setuptools>=80'\"", "requirements", UPGRADED),
        ("pip install -U 'pip>=${PIP}' $SETUPTOOLS", "requirements", UPGRADED),
        ("pip install -U $BOTH", "requirements", UPGRADED),
        ("sudo -E pip install -U 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("env PIP_NO_INPUT=1 pip install -U 'pip>=26.1.2' 'setuptools>=80'", "requirements", UPGRADED),
        ("pip install --root-user-action ignore -U 'pip>=26.1.2'", "requirements", ("pip>=26.1.2",)),
        ("pip install --upgrade-strategy eager -U 'pip>=26.1.2'", "requirements", ("pip>=26.1.2",)),
        ("pip install -U $UNKNOWN", "refused", None),
        ("pip install -r requirements.txt 'pip>=26.1.2' 'setuptools>=80'", "install", UPGRADED),
        ("uv pip install -r a.txt -P 'setuptools>=80' -P torch", "install", ("setuptools>=80",)),
        ("uv pip install -r a.txt --upgrade-package='setuptools>=80'", "install", ("setuptools>=80",)),
        ("pip install --target /opt/tools 'pip>=26.1.2'", "refused", None),
        ("pip install 'einops>=0.8' trl", "requirements", ("einops>=0.8", "trl")),
        ("pip install --index-url https://x.example.com/ trl", "requirements", ("trl",)),
        ("pip install git+https://git.example.com/x", "refused", None),
        ("pip uninstall -y torchvision", "refused", None),
        ("curl -O https://x.example.com/y", "refused", None),
        ("sudo curl -O https://x.example.com/y", "refused", None),
        ("npm ci", "refused", None),
        ("dnf install -y --nogpgcheck a", "refused", None),
        ("echo gpgcheck=0", "refused", None),
        ("umask 002", "template", None),
        ("echo hi > /dev/null 2>&1", "template", None),
        ("echo '>' >&2", "template", None),
        ("echo hi > /etc/motd", "own", None),
        ("printf x>>/etc/motd", "own", None),
        (". /cachi2/cachi2.env", "template", None),
        ("source /opt/own/setup.sh", "own", None),
        ("A=1", "template", None),
        ("ln -s a b", "own", None),
        ("env A=1 make", "own", None),
    ],
)
def test_what_a_part_comes_to(text: str, kind: str, names: tuple[str, ...] | None) -> None:
    variables = {"V": "13-0", "PIP": "26.1.2", "SETUPTOOLS": "setuptools>=80", "BOTH": " ".join(UPGRADED)}
    part = read_part(text, variables, in_block=False)
    assert part.kind == kind
    if names is not None:
        assert part.names == names
    if kind == "refused":
        assert part.why
        assert part.solution


@pytest.mark.parametrize("text", ["curl -O https://x.example.com/y", "npm ci", "dnf upgrade -y"])
def test_in_a_block_what_needs_a_network_is_the_folders_own(text: str) -> None:
    assert read_part(text, {}, in_block=True).kind == "own"


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("A=1", [("A", "1")]),
        ("A=1 B=2", [("A", "1"), ("B", "2")]),
        ("A=\"x y\" B='$z'", [("A", "x y"), ("B", "\\$z")]),
        ("A=x\\ y B=/a:${A}", [("A", "x y"), ("B", "/a:${A}")]),
        ('A="say \\"hi\\" \\$5"', [("A", 'say "hi" \\$5')]),
        ("A the rest of it", [("A", "the rest of it")]),
        ("A= B=", [("A", ""), ("B", "")]),
        ("\"a.b\"='c'", [("a.b", "c")]),
        ("A=1 B", None),
        ("A", None),
    ],
)
def test_pairs_are_read(text: str, pairs: list[tuple[str, str]] | None) -> None:
    found = read_pairs(text)
    assert (None if found is None else list(found)) == pairs


@given(
    st.text(alphabet="ab $'\"#=:{}\\", max_size=12).filter(lambda text: "\\" not in text.replace("\\$", ""))
)
@settings(deadline=None)
def test_a_written_pair_is_read_back(value: str) -> None:
    assert read_pairs(pair_text("NAME", value)) == (("NAME", value),)
