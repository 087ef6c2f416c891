"""The contract of a driver, and what its checks find."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from factory.registry.inventory import RegistryImage

State = Literal["ok", "created", "would be created", "wrong", "not checked"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one look at a registry found: what was looked at, how it is, and what to do where it is wrong."""

    what: str
    state: State
    detail: str = ""
    solution: str = ""


@dataclass(frozen=True, kw_only=True)
class Repositories:
    """The repositories of a registry, without its host; ``partial`` says what was not looked for."""

    names: tuple[str, ...]
    partial: str = ""


class Driver(Protocol):
    """One kind of registry. Repositories are named without the host, digests are ``sha256:…``.

    Every function raises `RegistryError` where the registry does not answer, refuses or fails.
    """

    def check(self, images: Collection[str]) -> tuple[Finding, ...]:
        """Look whether the registry serves for these images; only what reads is sent."""
        ...

    def create(self, images: Collection[str]) -> tuple[Finding, ...]:
        """Create what the images need and is not there, and try what only a try tells.

        What another run creates meanwhile is fine.
        """
        ...

    def repositories(self, images: Collection[str]) -> Repositories:
        """The repositories in the registry's place; where it does not tell them, those of the images."""
        ...

    def images(self, repository: str) -> tuple[RegistryImage, ...]:
        """All that a repository holds, each manifest once with all its tags."""
        ...

    def tags(self, repository: str) -> Mapping[str, str]:
        """The tags of a repository now, and the digest of each."""
        ...

    def has(self, repository: str, digest: str) -> bool:
        """Whether a manifest is there now, under the registry's own host."""
        ...

    def delete(self, repository: str, digest: str) -> bool:
        """Delete a manifest with all its tags; False where it was gone already."""
        ...

    def delete_repository(self, repository: str) -> bool:
        """Delete a repository in which nothing is left, where the service can; False where it stays."""
        ...

    def by_hand(self, repository: str, digest: str) -> str:
        """The command with which a person deletes a manifest."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
