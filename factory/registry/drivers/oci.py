"""Any registry that speaks the OCI distribution specification, and no more than that.

It knows no times of pushing: an image is as old as its configuration says. A repository begins with the first
push and stays when it is empty; a manifest is deleted by its digest, with all its tags.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from shlex import quote
from urllib.parse import urljoin

from factory.console import plural
from factory.errors import RegistryError
from factory.http.origins import is_loopback, origin_or_none, same_origin
from factory.registry.drivers.driver import (
    ListedManifest,
    OciInterface,
    RegistryCheck,
    Repositories,
    tag_digests,
)

# A large public registry's catalogue lists everybody's repositories.
_MOST_PAGES = 20
# A digest that nothing has: it tests whether deleting is allowed.
_NOWHERE = f"sha256:{'0' * 64}"
_NOT_ALLOWED = (
    "Allow it at the registry (Distribution: storage.delete.enabled), or in the rights of the login."
)


@dataclass(frozen=True, kw_only=True)
class OciDriver(OciInterface):
    """A registry of the specification (`Driver`)."""

    def check(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        """Check that it answers, has a login, and can be read; sends no delete."""
        registry = self.client.registry
        self.client.check()
        scheme = "plain HTTP" if self.client.plain_http else "HTTPS"
        repository = registry.repository(next(iter(sorted(images)), "image"))
        login = self.client.login(repository)
        untried = (
            "persistent: never asked to"
            if registry.kind == "persistent"
            else "only a setup tries, with nothing"
        )
        return (
            RegistryCheck(what="answers", state="ok", detail=scheme),
            RegistryCheck(
                what="login", state="ok", detail="one is there" if login else "none: nobody is logged in"
            ),
            _tried("reads", lambda: f"{plural(len(self.client.tags(repository)), 'tag')} in {repository}"),
            RegistryCheck(what="deletes", state="not checked", detail=untried),
        )

    def create(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        """Create nothing, and test what the registry allows.

        Tests pushing with an upload that is cancelled, and in a disposable registry deleting with a digest
        that nothing has.
        """
        self.client.check()
        registry = self.client.registry
        repository = registry.repository(next(iter(sorted(images)), "image"))
        takes = _tried("takes", lambda: self._may_push(repository))
        if registry.kind == "persistent":
            return (takes,)
        return (takes, _tried("deletes", lambda: self._may_delete(repository)))

    def repositories(self, images: Collection[str]) -> Repositories:
        """Return those of the registry's catalogue in its path, and those of the images.

        An empty or missing catalogue does not mean an empty registry: many keep it closed.
        """
        registry = self.client.registry
        named = {registry.repository(image) for image in images}
        inside = registry.repository("")
        try:
            listed = self.client.repositories(most_pages=_MOST_PAGES)
        except RegistryError:
            listed = ()
        if not listed:
            return Repositories(
                names=tuple(sorted(named)),
                partial="the registry does not list its repositories: those of this repository's images "
                "were looked at",
            )
        found = {name for name in listed if name.startswith(inside)}
        found |= {name for name in named - found if self.client.tags(name)}
        return Repositories(names=tuple(sorted(found)))

    def list_manifests(self, repository: str) -> list[ListedManifest]:
        """Return what has a tag: the specification lists nothing else."""
        tags: dict[str, list[str]] = {}
        for tag, digest in tag_digests(self.client, repository).items():
            tags.setdefault(digest, []).append(tag)
        return [ListedManifest(digest=digest, tags=tuple(sorted(names))) for digest, names in tags.items()]

    def tags(self, repository: str) -> Mapping[str, str]:
        return tag_digests(self.client, repository)

    def delete(self, repository: str, digest: str) -> bool:
        """Delete a manifest; the registry's garbage collection frees the space."""
        return self.client.delete(repository, digest)

    def delete_repository(self, repository: str) -> bool:
        """Return False: the specification cannot delete repositories."""
        del repository
        return False

    def by_hand(self, repository: str, digest: str) -> str:
        """Return skopeo's command, which deletes by the digest and so with all tags."""
        registry = self.client.registry
        verified = registry.tls_verify and not is_loopback(registry.host)
        insecure = "" if verified else " --tls-verify=false"
        return f"skopeo delete{insecure} {quote(f'docker://{registry.host}/{repository}@{digest}')}"

    def _may_delete(self, repository: str) -> str:
        self.client.delete(repository, _NOWHERE)
        return "allowed"

    def _may_push(self, repository: str) -> str:
        connection = self.client.connection
        begun = connection.request("POST", f"/v2/{repository}/blobs/uploads/", repository=repository)
        if begun.status != HTTPStatus.ACCEPTED:
            raise RegistryError(
                f"{self.client.registry.host} answers HTTP {begun.status} when an upload begins",
                solution="Give the login the right to push, or create the repository at the registry.",
            )
        place = urljoin(begun.url, begun.headers.get("Location", ""))
        if not same_origin(place, begun.url):
            # Cancelling would need the login, which is not for that origin.
            return f"an upload to {repository} was begun; it is taken by {origin_or_none(place) or 'nobody'}"
        # The upload expires by itself if it is not cancelled.
        connection.request("DELETE", place, repository=repository)
        return f"an upload to {repository} was begun and cancelled"


def _tried(what: str, attempt: Callable[[], str]) -> RegistryCheck:
    """Return the result of an attempt; a refusal is a result, so the other attempts follow."""
    try:
        return RegistryCheck(what=what, state="ok", detail=attempt())
    except RegistryError as error:
        solution = _NOT_ALLOWED if what == "deletes" else error.solution
        return RegistryCheck.wrong(what, error.reason, solution)
