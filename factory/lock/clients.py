"""The clients for a flavor's indexes: each index by the name and with the limits that the spec gives."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from factory.flavor.spec import Spec
from factory.index.client import IndexClient, RetryPolicy, client_for

# As many pages at a time: half of what uv asks for at once.
CONNECTIONS = 24


@dataclass
class Clients:
    """One client for each index, whichever flavors ask for it; they end with `open_clients`."""

    connections: int
    policy: RetryPolicy | None
    _stack: ExitStack
    _made: dict[tuple[object, ...], IndexClient] = field(default_factory=dict)

    def of(self, spec: Spec, index: str) -> IndexClient:
        """The client for an index of a spec, by its name.

        Raises:
            IndexAccessError: the credentials for it cannot be read.
        """
        url = spec.url_of(index)
        key = (url, index, spec.redirect_hosts)
        if key not in self._made:
            client = client_for(spec, index, connections=self.connections, policy=self.policy)
            self._made[key] = self._stack.enter_context(client)
        return self._made[key]


@contextmanager
def open_clients(*, connections: int = CONNECTIONS, policy: RetryPolicy | None = None) -> Iterator[Clients]:
    """Clients, closed when the block ends; nothing is connected before the first request."""
    with ExitStack() as stack:
        yield Clients(connections, policy, stack)
