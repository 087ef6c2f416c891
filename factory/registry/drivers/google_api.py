"""Requests to Artifact Registry's REST API (v1), with an access token of Google's own programs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict
from urllib.parse import urlencode, urlsplit

import httpx

from factory.documents import parse_json, require_shape
from factory.errors import RegistryError
from factory.http.bounded import Listing
from factory.http.client import HttpClient, HttpRequest, ServerErrors
from factory.http.origins import origin_or_none
from factory.http.retry import RetryPolicy
from factory.process import current_cancellation
from factory.registry.credentials import login_of_google
from factory.registry.declared import Registry

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
    """Sends requests below ``v1/``; what is not there is None. Safe to use from several threads."""

    endpoint: str
    token: str = field(repr=False)
    client: HttpClient

    def get(self, path: str, **query: str | int) -> dict[str, Any] | None:
        """A resource; None where there is none.

        Raises:
            RegistryError: Google refused, failed, or did not answer.
        """
        return self._asked("GET", path, query=query)

    def listed(self, path: str, key: str) -> Iterator[Resource]:
        """All items of a list, page by page.

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
        """Create something and wait until it is there; False where it was there already.

        Raises:
            RegistryError: as `get`; or the operation failed.
        """
        answer = self._asked("POST", path, body=body, query=query, there=True)
        return answer is not None and self._finished(answer)

    def delete(self, path: str, **query: str) -> bool:
        """Delete something and wait until it is gone; False where it was gone already.

        Raises:
            RegistryError: as `get`; or the operation failed.
        """
        answer = self._asked("DELETE", path, query=query)
        return answer is not None and self._finished(answer)

    def close(self) -> None:
        """Close the connections."""
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
        if status == httpx.codes.NOT_FOUND or (there and status == httpx.codes.CONFLICT):
            return None
        if status != httpx.codes.OK:
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
    """The API for a registry of Google's.

    Raises:
        RegistryError: nobody is logged in, or the environment names an endpoint that a token is not sent to.
    """
    endpoint = environment.get(ENDPOINT_VARIABLE) or _ENDPOINT
    origin = origin_or_none(endpoint)
    # Google's own names, and what stands in for it on this machine.
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
