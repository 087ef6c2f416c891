"""Find the login for a container registry: auth files, their helpers, or the service.

The files and their order are containers-auth.json(5)'s, the container engine's before docker's: keys are a
registry, or a part of its repositories, and the longest that fits goes first. In each file the helper program
for a registry (``credHelpers``) goes before what the file itself says (``auths``), and the one for all
(``credsStore``) after it.

A helper is asked as docker asks it (docker-credential-helpers): the program ``docker-credential-NAME``
with the word ``get``, the registry on its standard input, and JSON on its standard output, which is
shown nowhere.
"""

import binascii
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from factory.documents import parse_json, read_json
from factory.errors import DocumentError, ProgramError, RegistryError
from factory.http.origins import Login, is_loopback, origin_or_none
from factory.http.retry import RetryPolicy
from factory.index.configured import home_folder
from factory.masking import shown
from factory.process import run
from factory.registry.declared import Registry

# Returns the login that a helper, by its name, has for a registry.
Helper = Callable[[str, str], "Login | None"]
# Docker's names of its public registry, in its own file and for its helpers.
_DOCKER_HOST, _DOCKER_KEY = "docker.io", "https://index.docker.io/v1/"
_DOCKER_NAMES = frozenset({"index.docker.io", "registry-1.docker.io", _DOCKER_HOST})
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HELPER_SECONDS = 60.0
# Amazon's logins are for registries of its own, and sent to no other host.
_AMAZON = re.compile(
    r"[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?:amazonaws\.(?:com(?:\.cn)?|eu)|on\.(?:aws|amazonwebservices\.(?:com\.cn|eu)))"
)
# Of the partitions that the public may use, China's and Europe's own with them (botocore's partitions.json).
_AMAZON_DOMAINS = (
    *(".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"),
    *(".api.aws", ".api.amazonwebservices.com.cn", ".api.amazonwebservices.eu"),
)
_GOOGLE = re.compile(r"(?:[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io)")
# boto3 sends its own requests, by the client's policy.
_POLICY = RetryPolicy()
_AMAZON_SETTINGS: Mapping[str, Any] = {
    "connect_timeout": _POLICY.connect_seconds,
    "read_timeout": _POLICY.read_seconds,
    "retries": {"total_max_attempts": _POLICY.attempts, "mode": "standard"},
}
# The user whose password is an access token of Google's.
_TOKEN_USER = "oauth2accesstoken"  # noqa: S105 - a user name


class _Helped(TypedDict):
    Username: str
    Secret: str


class Credentials:
    """The logins for one registry; helpers and services are asked when a login is needed, and once.

    Args:
        registry: whose logins.
        environment: where auth files, helper programs and AWS's settings are looked up.
    """

    def __init__(self, registry: Registry, environment: Mapping[str, str]) -> None:
        self._registry = registry
        self._environment = environment
        self._guard = threading.Lock()
        self._asked: dict[str, Login | None] = {}

    def of(self, repository: str) -> Login | None:
        """Return the login for a repository (without the host); None without one.

        Raises:
            RegistryError: A file cannot be read, a helper is missing or failed. No output is repeated.
        """
        with self._guard:
            if self._registry.driver == "oci":
                name = f"{self._registry.host}/{repository}"
                return login_for(name, self._environment, helper=self._helper)
            if self._registry.driver not in self._asked:
                self._asked[self._registry.driver] = _DRIVERS[self._registry.driver](
                    self._registry, self._environment
                )
            return self._asked[self._registry.driver]

    def _helper(self, name: str, server: str) -> Login | None:
        key = f"{name} {server}"
        if key not in self._asked:
            self._asked[key] = ask_helper(name, server, self._environment)
        return self._asked[key]


def login_for(
    repository: str, environment: Mapping[str, str], *, helper: Helper | None = None
) -> Login | None:
    """Return the first file's login for ``REGISTRY/REPOSITORY``; None if none has one.

    Args:
        repository: What the login is for.
        environment: Where ``REGISTRY_AUTH_FILE``, ``XDG_RUNTIME_DIR``, ``XDG_CONFIG_HOME``,
            ``DOCKER_CONFIG`` and ``HOME`` are looked up.
        helper: Asks a helper program that a file names; if None, none is asked.

    Raises:
        RegistryError: A file cannot be read. The message does not repeat it.
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
        # A login in a helper program has an empty entry.
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
    """Return the entries for a repository, the longest first."""
    named = {key: _place_of(key) for key in logins}
    fitting = [key for key, name in named.items() if f"{repository}/".startswith(f"{name}/")]
    return sorted(fitting, key=lambda key: len(named[key]), reverse=True)


def _place_of(key: str) -> str:
    """Return the registry or repository of a login; the host of an old tool's address."""
    scheme, separator, rest = key.partition("://")
    place = rest.partition("/")[0] if separator and scheme in {"http", "https"} else key.rstrip("/")
    host, slash, path = place.partition("/")
    return f"{_DOCKER_HOST if host in _DOCKER_NAMES else host}{slash}{path}"


def ask_helper(name: str, server: str, environment: Mapping[str, str]) -> Login | None:
    """Return the login that a credential helper has for a registry; None if it has none.

    Raises:
        RegistryError: It is missing, or answers something else. Its output is not repeated.
    """
    if not _HELPER_NAME.fullmatch(name):
        raise RegistryError(
            f"{name!r} is not the name of a credential helper",
            solution="Fix credHelpers or credsStore in the file of registry logins.",
        )
    program = _program(f"docker-credential-{name}", environment)
    if program is None:
        raise RegistryError(
            f"the login for {server} is kept by docker-credential-{name}, which is not on PATH",
            solution=f"Install docker-credential-{name}, or log in with `podman login {server}`.",
        )
    stdout = _output([program, "get"], environment, given=server)
    if stdout is None:
        return None
    try:
        document = parse_json(stdout, _Helped, source="the output of the helper")
        return Login(user=document["Username"], password=document["Secret"])
    except DocumentError as error:
        raise RegistryError(
            f"docker-credential-{name} gives no login for {server}",
            solution=f"Try `echo {server} | docker-credential-{name} get` by hand; its output is secret.",
        ) from error


def login_of_amazon(registry: Registry, environment: Mapping[str, str]) -> Login:
    """Return the login for Amazon's registry (ECR's GetAuthorizationToken, twelve hours) by boto3.

    Raises:
        RegistryError: boto3 is not installed, the host is not Amazon's, or AWS refused.
    """
    client = amazon_client(registry, environment)
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the extra "aws"

    try:
        (data, *_) = client.get_authorization_token()["authorizationData"]
        return Login.decoded(data["authorizationToken"])
    except (BotoCoreError, ClientError, ValueError, KeyError) as error:
        raise RegistryError(
            f"AWS gives no login for {registry.host} ({_amazon_reason(error)})",
            solution="Look at AWS's own settings (AWS_PROFILE, `aws sts get-caller-identity`) and at the "
            "permission ecr:GetAuthorizationToken.",
        ) from error


def amazon_client(registry: Registry, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - boto3 has no types
    """Return boto3's client for the ECR of a registry, in the region of its host.

    Raises:
        RegistryError: boto3 is not installed, the host is not Amazon's, or no region is known.
    """
    try:
        import boto3  # noqa: PLC0415 - the extra "aws", which few need
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError as error:
        raise RegistryError(
            f"the registry {registry.name} is Amazon's, and boto3 is not installed",
            solution="Install the extra: pip install 'universal-image-factory[aws]'.",
        ) from error
    match = _AMAZON.fullmatch(registry.host)
    if match is None and not is_loopback(registry.host):
        raise RegistryError(
            f"{registry.host} is no registry of Amazon's, and gets none of its logins",
            solution="Write its url as ACCOUNT.dkr.ecr.REGION.amazonaws.com/PATH, or leave out driver.",
        )
    region = (
        match["region"] if match else environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    )
    try:
        client = boto3.client("ecr", region_name=region, config=Config(**_AMAZON_SETTINGS))
    except (BotoCoreError, ValueError) as error:
        raise RegistryError(
            f"boto3 cannot be used for {registry.host} ({type(error).__name__})",
            solution="Look at AWS's own settings: the region (AWS_REGION), the profile (AWS_PROFILE).",
        ) from error
    _check_endpoint(client.meta.endpoint_url)
    return client


def _check_endpoint(url: str) -> None:
    """Raise RegistryError if AWS's settings (AWS_ENDPOINT_URL) name what is neither Amazon's nor loopback."""
    origin = origin_or_none(url)
    own = origin is not None and origin.scheme == "https" and origin.host.endswith(_AMAZON_DOMAINS)
    if origin is None or not (own or origin.is_loopback):
        raise RegistryError(
            f"AWS's settings name {shown(url)}, and no request with AWS's credentials is sent to that",
            solution="Leave out AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_ECR, or name an endpoint of Amazon's.",
        )


def login_of_google(registry: Registry, environment: Mapping[str, str]) -> Login:
    """Return the login for Artifact Registry: of ``docker-credential-gcr``, else gcloud's access token.

    Raises:
        RegistryError: the host is not Google's, neither program is there, or neither is logged in.
    """
    host = registry.host
    if not (_GOOGLE.fullmatch(host) or is_loopback(host)):
        raise RegistryError(
            f"{host} is no registry of Google's, and gets none of its logins",
            solution="Write its url as LOCATION-docker.pkg.dev/PROJECT/REPOSITORY, or leave out driver.",
        )
    helpers = [name for name in ("gcr", "gcloud") if _program(f"docker-credential-{name}", environment)]
    for name in helpers:
        if login := ask_helper(name, host, environment):
            return login
    gcloud = _program("gcloud", environment)
    token = _output([gcloud, "auth", "print-access-token"], environment) if gcloud else None
    if token and token.strip():
        return Login(user=_TOKEN_USER, password=token.strip())
    found = [f"docker-credential-{name}" for name in helpers] + (["gcloud"] if gcloud else [])
    raise RegistryError(
        f"no login for {host}: "
        + (
            f"{' and '.join(found)} gave none"
            if found
            else "neither docker-credential-gcr nor gcloud is on PATH"
        ),
        solution="Log in with `gcloud auth login`, or install docker-credential-gcr and log in with "
        "`docker-credential-gcr gcr-login`.",
    )


_DRIVERS: Mapping[str, Callable[[Registry, Mapping[str, str]], Login]] = {
    "ecr": login_of_amazon,
    "artifact-registry": login_of_google,
}


def _program(name: str, environment: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environment.get("PATH"))


def _output(words: list[str], environment: Mapping[str, str], *, given: str | None = None) -> str | None:
    """Return a program's output; None if it failed: its output may hold a secret then too."""
    try:
        finished = run(
            words, environment=environment, given=given, accept_failure=True, timeout=_HELPER_SECONDS
        )
    except ProgramError as error:
        raise RegistryError(
            f"{words[0]} could not be asked for a login: {error.reason}", solution=error.solution
        ) from error
    return finished.stdout if finished.status == 0 else None


def _amazon_reason(error: Exception) -> str:
    """Return AWS's code of a refusal, or the kind of error: its text may hold a request."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return code if isinstance(code, str) else type(error).__name__
