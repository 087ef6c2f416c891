"""Whom a container registry is told is asking: the logins of the container engine, then docker's.

The files and their order are containers-auth.json(5)'s: keys are a registry, or a part of its
repositories, and the longest that fits goes first. In each file the helper program for a registry
(``credHelpers``) goes before what the file itself says (``auths``), and the one for all
(``credsStore``) after it.
"""

import binascii
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

from factory.documents import read_json
from factory.errors import DocumentError, RegistryError
from factory.http.origins import Login
from factory.index.configured import home_folder

# A helper's name and a registry; what it knows of it.
Helper = Callable[[str, str], "Login | None"]
# What docker calls its public registry in its own file, and for its helpers.
_DOCKER_HOST, _DOCKER_KEY = "docker.io", "https://index.docker.io/v1/"
_DOCKER_NAMES = frozenset({"index.docker.io", "registry-1.docker.io", _DOCKER_HOST})


def login_for(
    repository: str, environment: Mapping[str, str], *, helper: Helper | None = None
) -> Login | None:
    """The login for ``REGISTRY/REPOSITORY``, of the first file that has one; None where none has.

    Args:
        repository: where something is to be pushed.
        environment: where ``REGISTRY_AUTH_FILE``, ``XDG_RUNTIME_DIR``, ``XDG_CONFIG_HOME``,
            ``DOCKER_CONFIG`` and ``HOME`` are looked up.
        helper: asks a helper program that a file names; without it none is asked.

    Raises:
        RegistryError: a file is there and cannot be read. The message does not repeat it.
    """
    for path in _files(environment):
        try:
            document = read_json(path, _AuthFile)
            found = _in_file(document, repository, helper)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, DocumentError, ValueError, binascii.Error) as error:
            raise RegistryError(
                f"{path} cannot be read as a file of registry logins ({type(error).__name__})",
                solution="Log in again with `podman login`, which writes it, or name another file in "
                "REGISTRY_AUTH_FILE.",
            ) from error
        if found is not None:
            return found
    return None


class _Entry(TypedDict):
    auth: NotRequired[str | None]


class _AuthFile(TypedDict):
    auths: NotRequired[dict[str, _Entry | None] | None]
    credHelpers: NotRequired[dict[str, str] | None]
    credsStore: NotRequired[str | None]


def _in_file(document: _AuthFile, repository: str, helper: Helper | None) -> Login | None:
    helpers = document.get("credHelpers") or {}
    if helper is not None:
        for key in _keys(repository, helpers):
            if (login := helper(helpers[key], key)) is not None:
                return login
    logins = document.get("auths") or {}
    for key in _keys(repository, logins):
        # A login that a helper program keeps has an entry, and nothing in it.
        if encoded := (logins[key] or {}).get("auth"):
            return Login.decoded(encoded)
    store = document.get("credsStore")
    if helper is None or not store:
        return None
    host = repository.partition("/")[0]
    return helper(store, _DOCKER_KEY if host == _DOCKER_HOST else host)


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    named = environment.get("REGISTRY_AUTH_FILE")
    if named:
        yield Path(named)
        return
    home = home_folder(environment)
    folders = (
        (environment.get("XDG_RUNTIME_DIR"), None, "containers/auth.json"),
        (environment.get("XDG_CONFIG_HOME"), ".config", "containers/auth.json"),
        (environment.get("DOCKER_CONFIG"), ".docker", "config.json"),
    )
    for given, below_home, name in folders:
        if given:
            yield Path(given) / name
        elif below_home is not None and home is not None:
            yield home / below_home / name


def _keys(repository: str, logins: Mapping[str, object]) -> list[str]:
    """The entries that are for a repository, the longest first."""
    named = {key: _place_of(key) for key in logins}
    fitting = [key for key, name in named.items() if f"{repository}/".startswith(f"{name}/")]
    return sorted(fitting, key=lambda key: len(named[key]), reverse=True)


def _place_of(key: str) -> str:
    """What a login is for; of an address, such as ``https://quay.io/v1/`` of old tools, the host alone."""
    scheme, separator, rest = key.partition("://")
    place = rest.partition("/")[0] if separator and scheme in {"http", "https"} else key.rstrip("/")
    host, slash, path = place.partition("/")
    return f"{_DOCKER_HOST if host in _DOCKER_NAMES else host}{slash}{path}"
