"""Google's Artifact Registry: one repository, of the format DOCKER and in a location, that holds all images.

Labels and layers are read through the registry's own OCI interface; lists, times and deletes are the
REST API's (v1), in which an image is a package and a manifest a version of it. It gets an access token
of Google's own programs.
"""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NotRequired, TypedDict
from urllib.parse import quote, unquote, urlencode, urlsplit

from factory.clock import parse_moment
from factory.documents import parse_json, require_shape
from factory.errors import RegistryError
from factory.http.bounded import Listing
from factory.http.client import HttpClient, HttpRequest, ServerErrors
from factory.http.origins import is_loopback, origin_or_none
from factory.http.retry import RetryPolicy
from factory.process import current_cancellation
from factory.registry.client import open_registry
from factory.registry.credentials import login_of_google
from factory.registry.declared import Registry
from factory.registry.drivers.driver import (
    ListedManifest,
    OciInterface,
    RegistryCheck,
    Repositories,
)
from factory.registry.inventory import LabelReader

# gcloud's own name for it.
ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY"
_DOMAIN = ".googleapis.com"
_ENDPOINT = f"https://artifactregistry{_DOMAIN}/"
_PAGE = 500
# A page of 500 versions with their tags has some hundred KB.
_MAX_BYTES = 32 << 20
_SOLUTION = (
    "Look at the login (`gcloud auth list`) and at its role: Artifact Registry Repository Administrator "
    "creates and deletes, LabelReader looks."
)
_RETRY_POLICY = RetryPolicy(total_seconds=120.0)
_ERRORS = ServerErrors(
    access=RegistryError,
    content=RegistryError,
    solution="Look at the network, then run the same command again.",
)
# Most operations are done at once, and some take minutes.
_FIRST_PAUSE, _LONGEST_PAUSE, _MOST_POLLS = 0.1, 5.0, 60
_LOCATION_VARIABLE = "CLOUDSDK_ARTIFACTS_LOCATION"
_FORMAT, _MODE = "DOCKER", "STANDARD_REPOSITORY"
_DOCKER_PKG = "-docker.pkg.dev"
# The locations of Google's older hosts, whose repository is named after the host.
_OLD_HOSTS = {"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}


class Resource(TypedDict):
    """An item of a list: a package, a tag (with the version that it names), or a version."""

    name: str
    version: NotRequired[str]
    createTime: NotRequired[str]


class _ResourcePage(TypedDict):
    items: list[Resource]
    token: str


@dataclass(frozen=True, kw_only=True)
class GoogleApi:
    """Send requests below ``v1/``; missing resources are None. Safe to use from several threads."""

    endpoint: str
    token: str = field(repr=False)
    client: HttpClient

    def get(self, path: str, **query: str | int) -> dict[str, Any] | None:
        """Return a resource; None if it is not there.

        Raises:
            RegistryError: Google refused, failed, or did not answer.
        """
        return self._asked("GET", path, query=query)

    def listed(self, path: str, key: str) -> Iterator[Resource]:
        """Yield all items of a list, page by page.

        Raises:
            RegistryError: as `get`.
        """
        token = ""
        listing = Listing(name=f"the list of {key} of {self._host}", error=RegistryError)
        while True:
            query: dict[str, str | int] = {"pageSize": _PAGE, **({"pageToken": token} if token else {})}
            answer = self.get(path, **query) or {}
            page = require_shape(
                {"items": answer.get(key) or [], "token": answer.get("nextPageToken") or ""},
                _ResourcePage,
                source=f"the list of {key} of {self._host}",
                error=RegistryError,
                solution=_SOLUTION,
            )
            yield from page["items"]
            token = page["token"]
            if not token:
                return
            listing.turn(token, len(page["items"]))

    def post(self, path: str, body: Mapping[str, object], **query: str) -> bool:
        """Create something and wait for it; return False if it existed before.

        Raises:
            RegistryError: as `get`; or the operation failed.
        """
        answer = self._asked("POST", path, body=body, query=query, there=True)
        return answer is not None and self._finished(answer)

    def delete(self, path: str, **query: str) -> bool:
        """Delete something and wait for the end of it; return False if it does not exist.

        Raises:
            RegistryError: as `get`; or the operation failed.
        """
        answer = self._asked("DELETE", path, query=query)
        return answer is not None and self._finished(answer)

    def close(self) -> None:
        self.client.close()

    def _finished(self, operation: Mapping[str, Any]) -> bool:
        """Wait for a long-running operation (google.longrunning)."""
        stop = current_cancellation()
        for poll in range(_MOST_POLLS):
            if "name" not in operation or operation.get("done"):
                break
            stop.pause(min(_FIRST_PAUSE * 2.0**poll, _LONGEST_PAUSE))
            operation = self.get(str(operation["name"])) or {}
        else:
            raise RegistryError(
                f"{operation['name']} does not come to an end at {self._host}",
                solution="Look at it in the console, and run the same command again.",
            )
        failed = operation.get("error")
        if not failed:
            return True
        code = failed.get("code") if isinstance(failed, dict) else None
        if code in {5, 6}:  # google.rpc.Code: NOT_FOUND, ALREADY_EXISTS
            return False
        raise self._refused(f"operation failed (code {code})")

    def _asked(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int],
        body: Mapping[str, object] | None = None,
        there: bool = False,
    ) -> dict[str, Any] | None:
        url = f"{self.endpoint.rstrip('/')}/v1/{path}"
        answer = self.client.send(
            HttpRequest(
                method=method,
                url=f"{url}?{urlencode(query)}" if query else url,
                authorization=f"Bearer {self.token}",
                headers={} if body is None else {"Content-Type": "application/json"},
                body=b"" if body is None else json.dumps(body).encode(),
                follow=False,
                max_bytes=_MAX_BYTES,
            )
        )
        status = answer.status
        if status == HTTPStatus.NOT_FOUND or (there and status == HTTPStatus.CONFLICT):
            return None
        if status != HTTPStatus.OK:
            raise self._refused(f"HTTP {status}")
        return parse_json(
            answer.content or b"{}",
            dict[str, Any],
            source=f"the answer of {self._host}",
            error=RegistryError,
            solution=_SOLUTION,
        )

    def _refused(self, reason: str) -> RegistryError:
        return RegistryError(
            f"Artifact Registry refuses or fails at {self._host}: {reason}",
            solution=_SOLUTION,
        )

    @property
    def _host(self) -> str:
        return urlsplit(self.endpoint).netloc


def open_google(registry: Registry, environment: Mapping[str, str]) -> GoogleApi:
    """Open the API of a Google registry.

    Raises:
        RegistryError: nobody is logged in, or the environment names an endpoint that a token is not sent to.
    """
    endpoint = environment.get(ENDPOINT_VARIABLE) or _ENDPOINT
    origin = origin_or_none(endpoint)
    # Google's own names, and loopback in tests.
    if origin is None or not (
        origin.is_loopback or (origin.scheme == "https" and origin.host.endswith(_DOMAIN))
    ):
        raise RegistryError(
            f"{ENDPOINT_VARIABLE} names an endpoint that no token of Google's is sent to",
            solution=f"Give it as https://…{_DOMAIN}/, or leave it out.",
        )
    login = login_of_google(registry, environment)
    client = HttpClient(
        policy=_RETRY_POLICY,
        connections=8,
        stop=current_cancellation(),
        errors=_ERRORS,
        proxied=not origin.is_loopback,
    )
    return GoogleApi(endpoint=endpoint, token=login.password, client=client)


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where a registry of Google's is: ``projects/PROJECT/locations/LOCATION/repositories/REPOSITORY``.

    ``path`` precedes a package's name in the name of a repository of the OCI interface.
    """

    project: str
    location: str
    repository: str
    path: str

    @property
    def parent(self) -> str:
        """The resource in which the repository is."""
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def name(self) -> str:
        """The resource of the repository."""
        return f"{self.parent}/repositories/{self.repository}"

    def package(self, repository: str) -> str:
        """The resource of an image, by the name of its repository in the OCI interface."""
        return f"{self.name}/packages/{quote(repository.removeprefix(self.path), safe='')}"


@dataclass(frozen=True, kw_only=True)
class ArtifactRegistryDriver(OciInterface):
    """One repository of Artifact Registry (`Driver`)."""

    google: GoogleApi
    home: Home

    def check(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        """Check that the repository is there, in its location, of its format, with tags that can move."""
        del images
        described = self.google.get(self.home.name)
        if described is None:
            return (
                self._wrong(
                    f"is not there in {self.home.location}",
                    f"Create it: factory registry setup {self.client.registry.name}",
                ),
            )
        found = tuple(self._wrongs(described))
        detail = f"format {_FORMAT}, location {self.home.location}, tags can move"
        return found or (RegistryCheck(what=self.home.repository, state="ok", detail=detail),)

    def create(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        """Create the repository if it is missing."""
        del images
        if self.google.get(self.home.name) is not None:
            return ()
        created = self.google.post(
            f"{self.home.parent}/repositories",
            {"format": _FORMAT, "mode": _MODE, "labels": {"made-by": "universal-image-factory"}},
            repositoryId=self.home.repository,
        )
        detail = f"format {_FORMAT}, location {self.home.location}"
        return (RegistryCheck(what=self.home.repository, state="created", detail=detail),) if created else ()

    def repositories(self, images: Collection[str]) -> Repositories:
        """Return the packages in the registry's path."""
        del images
        inside = self.client.registry.repository("")
        resources = self.google.listed(f"{self.home.name}/packages", "packages")
        names = (self.home.path + _last(item["name"]) for item in resources)
        return Repositories(names=tuple(sorted(name for name in names if name.startswith(inside))))

    def tags(self, repository: str) -> Mapping[str, str]:
        """Return the tags of a package, and the digest of each."""
        resources = self.google.listed(f"{self.home.package(repository)}/tags", "tags")
        return {_last(item["name"]): _last(item.get("version", "")) for item in resources}

    def delete(self, repository: str, digest: str) -> bool:
        """Delete a version with all its tags."""
        return self.google.delete(f"{self.home.package(repository)}/versions/{digest}", force="true")

    def delete_repository(self, repository: str) -> bool:
        """Delete the package of which no version is left; the repository, which holds them all, stays."""
        if self.list_manifests(repository):
            return False
        return self.google.delete(self.home.package(repository))

    def by_hand(self, repository: str, digest: str) -> str:
        """Return the command of gcloud."""
        host = self.client.registry.host
        name = shlex.quote(f"{host}/{repository}@{digest}")
        return f"gcloud artifacts docker images delete {name} --delete-tags"

    def close(self) -> None:
        super().close()
        self.google.close()

    def list_manifests(self, repository: str) -> list[ListedManifest]:
        tags: dict[str, list[str]] = {}
        for tag, digest in self.tags(repository).items():
            tags.setdefault(digest, []).append(tag)
        versions = self.google.listed(f"{self.home.package(repository)}/versions", "versions")
        return [
            ListedManifest(
                digest=digest,
                tags=tuple(sorted(tags.get(digest, ()))),
                pushed=parse_moment(item.get("createTime", "")),
            )
            for item in versions
            if (digest := _last(item["name"]))
        ]

    def _wrongs(self, described: Mapping[str, Any]) -> Iterator[RegistryCheck]:
        if described.get("format") != _FORMAT:
            yield self._wrong(
                f"has the format {described.get('format')}, not {_FORMAT}",
                "A repository's format cannot be changed: give the registry's url another repository.",
            )
        location = str(described.get("name", "")).split("/")[3:4]
        if location != [self.home.location]:
            yield self._wrong(f"is in {'/'.join(location)}, not where its url says", "Fix the url.")
        if described.get("mode", _MODE) != _MODE:
            yield self._wrong(
                f"is a {described['mode']}, into which nothing is pushed",
                "Give the registry's url a standard repository.",
            )
        docker = described.get("dockerConfig")
        if isinstance(docker, dict) and docker.get("immutableTags"):
            yield self._wrong(
                "its tags are immutable: the moving tag could not move",
                "Turn immutable tags off; the factory never moves a tag that is not moving.",
            )
        if described.get("cleanupPolicies") and self.client.registry.kind == "persistent":
            yield self._wrong(
                "Google deletes from it by a cleanup policy, and the registry is persistent",
                "Take the policy away, or call the registry disposable.",
            )

    def _wrong(self, detail: str, solution: str) -> RegistryCheck:
        return RegistryCheck.wrong(self.home.repository, detail, solution)


def open_artifact_registry(
    registry: Registry, read_labels: LabelReader, environment: Mapping[str, str]
) -> ArtifactRegistryDriver:
    """Return the driver of a registry of Google's.

    Raises:
        RegistryError: nobody is logged in, or the url names no project and repository.
    """
    home = home_of(registry, environment)
    google = open_google(registry, environment)
    client = open_registry(registry, environment=environment)
    return ArtifactRegistryDriver(client=client, read_labels=read_labels, google=google, home=home)


def home_of(registry: Registry, environment: Mapping[str, str]) -> Home:
    """Return where a registry is, by its url; on loopback gcloud's settings have the location.

    Raises:
        RegistryError: the url names no location, project and repository.
    """
    host, *path = registry.url.split("/")
    if host in _OLD_HOSTS and path:
        return Home(project=path[0], location=_OLD_HOSTS[host], repository=host, path=f"{path[0]}/")
    location = host.removesuffix(_DOCKER_PKG) if host.endswith(_DOCKER_PKG) else ""
    if is_loopback(host):
        location = environment.get(_LOCATION_VARIABLE, "")
    match path:
        case [project, repository, *_] if location:
            return Home(
                project=project, location=location, repository=repository, path=f"{project}/{repository}/"
            )
    raise RegistryError(
        f"the registry {registry.name} names no location, project and repository: {registry.url}",
        solution="Write its url as LOCATION-docker.pkg.dev/PROJECT/REPOSITORY.",
    )


def _last(resource: str) -> str:
    """Return the last part of a resource's name, unquoted."""
    return unquote(resource.rpartition("/")[2])
