"""What a machine may have set that makes a client look at another index, or take what it has."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.private_index import BAIT, PrivateWorld


def _variable(name: str, value: str) -> Callable[[PrivateWorld, Path], Mapping[str, str]]:
    return lambda world, _: {name: value.format(public=world.public.url)}


def _file(place: str, text: str, **variables: str) -> Callable[[PrivateWorld, Path], Mapping[str, str]]:
    def write(world: PrivateWorld, root: Path) -> Mapping[str, str]:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(public=world.public.url))
        return {name: value.format(root=root) for name, value in variables.items()}

    return write


def _wheels(variable: str) -> Callable[[PrivateWorld, Path], Mapping[str, str]]:
    return lambda world, _: {variable: str(world.public.folder)}


_EXTRA = '[[index]]\nname = "extra"\nurl = "{public}"\n'
HOSTILE: Mapping[str, Callable[[PrivateWorld, Path], Mapping[str, str]]] = {
    "UV_EXTRA_INDEX_URL": _variable("UV_EXTRA_INDEX_URL", "{public}"),
    "UV_INDEX": _variable("UV_INDEX", "extra={public}"),
    "UV_INDEX_URL": _variable("UV_INDEX_URL", "{public}"),
    "UV_INDEX_STRATEGY": _variable("UV_INDEX_STRATEGY", "unsafe-best-match"),
    "UV_FIND_LINKS": _wheels("UV_FIND_LINKS"),
    "UV_OVERRIDE": _file("override.txt", f"tqdm=={BAIT}\n", UV_OVERRIDE="{root}/override.txt"),
    "UV_CONSTRAINT": _file("constraint.txt", f"tqdm=={BAIT}\n", UV_CONSTRAINT="{root}/constraint.txt"),
    "UV_CONFIG_FILE": _file("named.toml", _EXTRA, UV_CONFIG_FILE="{root}/named.toml"),
    "PIP_EXTRA_INDEX_URL": _variable("PIP_EXTRA_INDEX_URL", "{public}"),
    "PIP_FIND_LINKS": _wheels("PIP_FIND_LINKS"),
    "uv.toml of the user": _file("config/uv/uv.toml", _EXTRA, XDG_CONFIG_HOME="{root}/config"),
    "uv.toml of the system": _file("system/uv/uv.toml", _EXTRA, XDG_CONFIG_DIRS="{root}/system"),
    "pip.conf of the user": _file(
        "config/pip/pip.conf", "[global]\nextra-index-url = {public}\n", XDG_CONFIG_HOME="{root}/config"
    ),
    "pip.conf that is named": _file(
        "pip.conf", "[global]\nextra-index-url = {public}\n", PIP_CONFIG_FILE="{root}/pip.conf"
    ),
    "uv.toml where the command runs": _file("elsewhere/uv.toml", _EXTRA),
    "pyproject.toml where the command runs": _file(
        "elsewhere/pyproject.toml",
        '[project]\nname = "x"\nversion = "1"\n[[tool.uv.index]]\nurl = "{public}"\n',
    ),
    "uv.toml of the repository": _file("repository/uv.toml", _EXTRA),
    "uv.toml of the temporary folder": _file("temporary/uv.toml", _EXTRA, TMPDIR="{root}/temporary"),
}


def make_hostile(world: PrivateWorld, root: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Set what the names say, or all of it where none is given."""
    for name in names or HOSTILE:
        for variable, value in HOSTILE[name](world, root).items():
            monkeypatch.setenv(variable, value)
    monkeypatch.setattr(tempfile, "tempdir", None)  # so that TMPDIR is read anew
