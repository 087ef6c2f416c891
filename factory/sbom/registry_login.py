"""Whom a container registry is told is asking: the logins of the container engine, then docker's.

The files and their order are containers-auth.json(5)'s: keys are a registry, or a part of its
repositories, and the longest that fits goes first.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from factory.errors import SbomError
from factory.index.home import home_folder


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user name and a password; neither is shown where the value is printed."""

    user: str = field(repr=False)
    password: str = field(repr=False)


def login_for(repository: str, environment: Mapping[str, str]) -> Login | None:
    """The login for ``REGISTRY/REPOSITORY``, of the first file that has one; None where none has.

    Args:
        repository: where something is to be pushed.
        environment: where ``REGISTRY_AUTH_FILE``, ``XDG_RUNTIME_DIR``, ``XDG_CONFIG_HOME``,
            ``DOCKER_CONFIG`` and ``HOME`` are looked up.

    Raises:
        SbomError: a file is there and cannot be read. The message does not repeat it.
    """
    for path in _files(environment):
        try:
            logins = json.loads(path.read_bytes()).get("auths", {})
            for key in _keys(repository, logins):
                # A login that a helper program keeps has an entry, and nothing in it.
                if encoded := logins[key].get("auth"):
                    user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
                    return Login(user=user, password=password)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, AttributeError, TypeError, binascii.Error) as error:
            raise SbomError(
                f"{path} cannot be read as a file of registry logins ({type(error).__name__})",
                solution="Log in again with `podman login`, which writes it, or name another file in "
                "REGISTRY_AUTH_FILE.",
            ) from error
    return None


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
    plain = {key: key.removeprefix("https://").removeprefix("http://").rstrip("/") for key in logins}
    fitting = [key for key, name in plain.items() if f"{repository}/".startswith(f"{name}/")]
    return sorted(fitting, key=lambda key: len(plain[key]), reverse=True)
