"""Google's Artifact Registry: one repository, of the format DOCKER and in a location, that holds all images.

Labels and layers are read through the registry's own OCI interface; lists, times and deletes are the
REST API's, in which an image is a package and a manifest a version of it.
"""

import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from factory.clock import parse_moment
from factory.errors import RegistryError
from factory.http.origins import is_loopback
from factory.registry.client import RegistryClient, open_registry
from factory.registry.declared import Registry
from factory.registry.drivers.driver import Finding, Repositories
from factory.registry.drivers.google_api import GoogleApi, open_google
from factory.registry.inventory import LabelReader, RegistryImage
from factory.registry.reading import Listed, read_images

_LOCATION_VARIABLE = "CLOUDSDK_ARTIFACTS_LOCATION"
_FORMAT, _MODE = "DOCKER", "STANDARD_REPOSITORY"
_DOCKER_PKG = "-docker.pkg.dev"
# The locations of Google's older hosts, whose repository is named after the host.
_OLD_HOSTS = {"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where a registry of Google's is: ``projects/PROJECT/locations/LOCATION/repositories/REPOSITORY``.

    ``path`` is what stands before a package's name in the name of a repository of the OCI interface.
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
class ArtifactRegistryDriver:
    """One repository of Artifact Registry (`Driver`)."""

    client: RegistryClient
    read_labels: LabelReader = field(repr=False)
    google: GoogleApi
    home: Home

    def check(self, images: Collection[str]) -> tuple[Finding, ...]:
        """Whether the repository is there, in its location, of the right format, with tags that can move."""
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
        return found or (Finding(what=self.home.repository, state="ok", detail=detail),)

    def create(self, images: Collection[str]) -> tuple[Finding, ...]:
        """Create the repository where it is not there."""
        del images
        if self.google.get(self.home.name) is not None:
            return ()
        created = self.google.post(
            f"{self.home.parent}/repositories",
            {"format": _FORMAT, "mode": _MODE, "labels": {"made-by": "universal-image-factory"}},
            repositoryId=self.home.repository,
        )
        detail = f"format {_FORMAT}, location {self.home.location}"
        return (Finding(what=self.home.repository, state="created", detail=detail),) if created else ()

    def repositories(self, images: Collection[str]) -> Repositories:
        """The packages in the registry's path."""
        del images
        inside = self.client.registry.repository("")
        resources = self.google.listed(f"{self.home.name}/packages", "packages")
        names = (self.home.path + _last(item["name"]) for item in resources)
        return Repositories(names=tuple(sorted(name for name in names if name.startswith(inside))))

    def images(self, repository: str) -> tuple[RegistryImage, ...]:
        """All versions of a package, also without a tag, with the time at which they were pushed."""
        return read_images(self.client, repository, self._listed(repository), self.read_labels)

    def tags(self, repository: str) -> Mapping[str, str]:
        """The tags of a package, and the digest of each."""
        resources = self.google.listed(f"{self.home.package(repository)}/tags", "tags")
        return {_last(item["name"]): _last(item.get("version", "")) for item in resources}

    def has(self, repository: str, digest: str) -> bool:
        """Whether the manifest is there now."""
        return self.client.digest(repository, digest) is not None

    def delete(self, repository: str, digest: str) -> bool:
        """Delete a version with all its tags."""
        return self.google.delete(f"{self.home.package(repository)}/versions/{digest}", force="true")

    def delete_repository(self, repository: str) -> bool:
        """Delete the package of which no version is left; the repository, which holds them all, stays."""
        if self._listed(repository):
            return False
        return self.google.delete(self.home.package(repository))

    def by_hand(self, repository: str, digest: str) -> str:
        """The command of gcloud."""
        host = self.client.registry.host
        name = shlex.quote(f"{host}/{repository}@{digest}")
        return f"gcloud artifacts docker images delete {name} --delete-tags"

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self.google.close()

    def _listed(self, repository: str) -> list[Listed]:
        tags: dict[str, list[str]] = {}
        for tag, digest in self.tags(repository).items():
            tags.setdefault(digest, []).append(tag)
        versions = self.google.listed(f"{self.home.package(repository)}/versions", "versions")
        return [
            Listed(
                digest=digest,
                tags=tuple(sorted(tags.get(digest, ()))),
                pushed=parse_moment(item.get("createTime", "")),
            )
            for item in versions
            if (digest := _last(item["name"]))
        ]

    def _wrongs(self, described: Mapping[str, Any]) -> Iterator[Finding]:
        if described.get("format") != _FORMAT:
            yield self._wrong(
                f"has the format {described.get('format')}, not {_FORMAT}",
                "A repository's format cannot be changed: give the registry's url another repository.",
            )
        location = str(described.get("name", "")).split("/")[3:4]
        if location != [self.home.location]:
            yield self._wrong(f"is in {'/'.join(location)}, not where its url says", "Mend the url.")
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

    def _wrong(self, detail: str, solution: str) -> Finding:
        return Finding(what=self.home.repository, state="wrong", detail=detail, solution=solution)


def open_artifact_registry(
    registry: Registry, read_labels: LabelReader, environment: Mapping[str, str]
) -> ArtifactRegistryDriver:
    """The driver of a registry of Google's.

    Raises:
        RegistryError: nobody is logged in, or the url names no project and repository.
    """
    home = home_of(registry, environment)
    google = open_google(registry, environment)
    client = open_registry(registry, environment=environment)
    return ArtifactRegistryDriver(client=client, read_labels=read_labels, google=google, home=home)


def home_of(registry: Registry, environment: Mapping[str, str]) -> Home:
    """Where a registry is, by its url; on loopback gcloud's settings say the location.

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
    """The last part of a resource's name, as it was before it was put into a path."""
    return unquote(resource.rpartition("/")[2])
