"""Amazon's registry (ECR), by boto3 of the extra ``aws``: repositories have to be created one by one.

Labels and layers are read through the registry's own OCI interface; lists, times and deletes are AWS's.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from factory.errors import RegistryError
from factory.http.bounded import Listing
from factory.registry.client import open_registry
from factory.registry.credentials import amazon_client
from factory.registry.declared import Registry
from factory.registry.drivers.driver import (
    ListedManifest,
    OciInterface,
    RegistryCheck,
    Repositories,
)
from factory.registry.inventory import LabelReader

_OWNER_TAG = "universal-image-factory"
"""The tag of repositories that the factory created: no other is ever deleted."""
# Codes for missing or existing things: no errors here.
_NOT_SO = frozenset(
    {
        "ImageNotFoundException",
        "LifecyclePolicyNotFoundException",
        "RepositoryAlreadyExistsException",
        "RepositoryNotFoundException",
    }
)


@dataclass(frozen=True, kw_only=True)
class EcrDriver(OciInterface):
    """The repositories of an account and region (`Driver`).

    ``account`` is named in every request, so that a login for another account is refused and does no harm
    in that one; it is empty where something on loopback stands in for AWS.
    """

    amazon: Any = field(repr=False)
    account: str
    region: str

    def check(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        """Check that AWS answers, and each repository exists in the region with mutable tags."""
        found = {name: self._described(name) for name in self._names(images)}
        answers = RegistryCheck(what="answers", state="ok", detail=f"region {self.region}")
        rows = (self._checked(name, described) for name, described in found.items())
        return (answers, *(finding for row in rows for finding in row))

    def create(self, images: Collection[str]) -> tuple[RegistryCheck, ...]:
        """Create the images' repositories that are missing."""
        created = []
        for name in self._names(images):
            there = self._call("describe_repositories", {"repositoryNames": [name]}) is not None
            if not there and self._created(name):
                created.append(RegistryCheck(what=name, state="created", detail=f"region {self.region}"))
        return tuple(created)

    def repositories(self, images: Collection[str]) -> Repositories:
        """Return all in the registry's path."""
        del images
        inside = self.client.registry.repository("")
        pages = self._pages("describe_repositories", "repositories")
        names = (item["repositoryName"] for item in pages)
        return Repositories(names=tuple(sorted(name for name in names if name.startswith(inside))))

    def delete(self, repository: str, digest: str) -> bool:
        answer = self._call(
            "batch_delete_image", {"repositoryName": repository, "imageIds": [{"imageDigest": digest}]}
        )
        if answer is None:
            return False
        for failure in answer.get("failures") or ():
            if failure.get("failureCode") == "ImageNotFound":
                return False
            raise RegistryError(
                f"AWS does not delete {repository}@{digest} ({failure.get('failureCode')})",
                solution="An image that an index names goes after that. Look at the repository in AWS.",
            )
        return True

    def delete_repository(self, repository: str) -> bool:
        """Delete an empty repository that the factory created; AWS refuses if it is not empty."""
        described = self._described(repository)
        if described is None:
            return False
        answer = self._call(
            "list_tags_for_resource", {"resourceArn": described["repositoryArn"]}, account=False
        )
        tags = {item["Key"] for item in (answer or {}).get("tags") or ()}
        if _OWNER_TAG not in tags or self.list_manifests(repository):
            return False
        return self._call("delete_repository", {"repositoryName": repository}) is not None

    def by_hand(self, repository: str, digest: str) -> str:
        """Return the command of AWS's own command line."""
        account = f" --registry-id {self.account}" if self.account else ""
        return (
            f"aws ecr batch-delete-image --region {self.region}{account} "
            f"--repository-name {quote(repository)} --image-ids {quote(f'imageDigest={digest}')}"
        )

    def close(self) -> None:
        super().close()
        self.amazon.close()

    def _names(self, images: Collection[str]) -> list[str]:
        return [self.client.registry.repository(image) for image in sorted(images)]

    def _described(self, name: str) -> dict[str, Any] | None:
        answer = self._call("describe_repositories", {"repositoryNames": [name]})
        found: list[dict[str, Any]] = (answer or {}).get("repositories") or []
        return found[0] if found else None

    def _checked(self, name: str, described: Mapping[str, Any] | None) -> Iterator[RegistryCheck]:
        if described is None:
            yield RegistryCheck.wrong(
                name,
                f"is not there in {self.region}",
                f"Create it: factory registry setup {self.client.registry.name}",
            )
            return
        region = described["repositoryArn"].split(":")[3]
        if region != self.region or (self.account and described["registryId"] != self.account):
            yield RegistryCheck.wrong(
                name,
                f"is in {region} of {described['registryId']}, not where its url says",
                "Look at AWS's own settings: the region, the profile.",
            )
        elif described.get("imageTagMutability", "MUTABLE") != "MUTABLE":
            yield RegistryCheck.wrong(
                name,
                f"its tags are {described['imageTagMutability']}: the moving tag could not move",
                "Set the repository's tag mutability to MUTABLE; the factory never moves a tag that "
                "is not moving.",
            )
        else:
            yield RegistryCheck(what=name, state="ok", detail=f"OCI images, region {region}, tags can move")
        yield from self._lifecycle(name)

    def _lifecycle(self, name: str) -> Iterator[RegistryCheck]:
        if self.client.registry.kind != "persistent":
            return
        if self._call("get_lifecycle_policy", {"repositoryName": name}) is not None:
            yield RegistryCheck.wrong(
                name,
                "AWS deletes from it by a lifecycle policy, and the registry is persistent",
                "Take the policy away, or call the registry disposable.",
            )

    def _created(self, name: str) -> bool:
        """Create a repository; return False if another run did so meanwhile."""
        arguments = {
            "repositoryName": name,
            "imageTagMutability": "MUTABLE",
            "tags": [{"Key": _OWNER_TAG, "Value": self.client.registry.name}],
        }
        answer = self._call("create_repository", arguments)
        return answer is not None

    def list_manifests(self, repository: str) -> list[ListedManifest]:
        found = self._pages("describe_images", "imageDetails", {"repositoryName": repository})
        tags: dict[str, set[str]] = defaultdict(set)
        pushed = {}
        for item in found:
            tags[item["imageDigest"]].update(item.get("imageTags") or ())
            pushed[item["imageDigest"]] = item.get("imagePushedAt")
        return [
            ListedManifest(digest=digest, tags=tuple(sorted(tags[digest])), pushed=pushed[digest])
            for digest in tags
        ]

    def _pages(
        self, operation: str, key: str, arguments: Mapping[str, object] | None = None
    ) -> Iterator[dict[str, Any]]:
        token: dict[str, object] = {}
        listing = Listing(name=f"the list of {key} of {self.client.registry.host}", error=RegistryError)
        while True:
            answer = self._call(operation, {**(arguments or {}), **token})
            if answer is None:
                return
            found = answer.get(key) or ()
            yield from found
            if not answer.get("nextToken"):
                return
            listing.turn(str(answer["nextToken"]), len(found))
            token = {"nextToken": answer["nextToken"]}

    def _call(
        self, operation: str, arguments: Mapping[str, object], *, account: bool = True
    ) -> dict[str, Any] | None:
        """Return AWS's answer; None if the thing is missing, or exists already when created.

        Raises:
            RegistryError: AWS refused or did not answer. Its own text is not repeated but for its code.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the extra "aws"

        owner = {"registryId": self.account} if account and self.account else {}
        try:
            answer: dict[str, Any] = getattr(self.amazon, operation)(**arguments, **owner)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _NOT_SO:
                return None
            raise self._refused(operation, code) from error
        except BotoCoreError as error:
            raise self._refused(operation, type(error).__name__) from error
        return answer

    def _refused(self, operation: str, reason: str) -> RegistryError:
        words = "".join(part.title() for part in operation.split("_"))
        return RegistryError(
            f"AWS refuses or fails in {words} for {self.client.registry.host} ({reason})",
            solution=f"Look at AWS's own settings (AWS_PROFILE, `aws sts get-caller-identity`) and at the "
            f"permission ecr:{words}.",
        )


def open_ecr(registry: Registry, read_labels: LabelReader, environment: Mapping[str, str]) -> EcrDriver:
    """Return the driver of a registry of Amazon's.

    Raises:
        RegistryError: boto3 is not installed, the host is not Amazon's, or no region is known.
    """
    amazon = amazon_client(registry, environment)
    account = registry.host.partition(".")[0]
    return EcrDriver(
        client=open_registry(registry, environment=environment),
        read_labels=read_labels,
        amazon=amazon,
        account=account if account.isdecimal() and len(account) == len("123456789012") else "",
        region=amazon.meta.region_name,
    )
