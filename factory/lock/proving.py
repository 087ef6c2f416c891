"""Proving new locks against private indexes: begun only where a flavor has one, shared by those of a run."""

import importlib
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from factory.flavor.spec import Spec
from factory.lock.lockfile import Pin

if TYPE_CHECKING:
    from factory.lock.proof import Proofs

# Imported where it is needed: the index client takes as long to import as all the rest.
_PROOF = "factory.lock.proof"


class Proving:
    """Gives the proofs of a run when the first flavor of a private index asks for them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._guard = threading.Lock()
        self._proofs: Proofs | None = None

    def expect(self, spec: Spec) -> None:
        """A lock for this spec will be to prove: what that needs is imported while uv is at work."""
        if _has_private(spec):
            threading.Thread(target=importlib.import_module, args=(_PROOF,), daemon=True).start()

    def prove(self, spec: Spec, pins: tuple[Pin, ...], *, from_folders: Collection[str]) -> None:
        """See that the indexes stand by what was resolved; raises as `factory.lock.proof.Proofs.prove`."""
        if _has_private(spec):
            self._of_the_run().prove(spec, pins, from_folders=from_folders)

    def _of_the_run(self) -> "Proofs":
        with self._guard:
            if self._proofs is None:
                from factory.lock.proof import open_proofs  # noqa: PLC0415 - see `_PROOF`

                self._proofs = self._stack.enter_context(open_proofs())
            return self._proofs


@contextmanager
def open_proving() -> Iterator[Proving]:
    """For the flavors of one run; what was opened is closed when the block ends."""
    with ExitStack() as stack:
        yield Proving(stack)


def _has_private(spec: Spec) -> bool:
    return spec.index_url is not None or bool(spec.indexes)
