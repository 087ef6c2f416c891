"""The errors: each has a reason, a solution, and an exit code.

Exit codes 0 and 1 are results (done; findings), 2 is click's for wrong usage, and every error
here has its own from 10 on, so that a script can tell them apart.
"""

from pathlib import Path
from typing import ClassVar

from factory.masking import masked


class FactoryError(Exception):
    """What happened and why, and what to do next. Only its subclasses are raised."""

    exit_code: ClassVar[int] = 10

    def __init__(self, reason: str, *, solution: str) -> None:
        # Whatever it quotes, an address in it may have a login.
        self.reason = masked(reason)
        self.solution = masked(solution)
        super().__init__(self.reason)


class SpecError(FactoryError):
    """A spec, or an option that would go into one, is not acceptable."""

    exit_code = 11


class FlavorExistsError(FactoryError):
    """The folder to create exists already."""

    exit_code = 12


class NotFoundError(FactoryError):
    """A flavor, a repository root or a file does not exist."""

    exit_code = 13


class TemplateError(FactoryError):
    """A template set is missing, or does not fit the spec."""

    exit_code = 14


class MarkerError(FactoryError):
    """MIDSTREAM ONLY markers do not pair; ``line`` is the offending one."""

    exit_code = 15

    def __init__(self, reason: str, *, solution: str, line: int | None = None) -> None:
        super().__init__(reason, solution=solution)
        self.line = line


class LockFileError(FactoryError):
    """A lock file is missing or cannot be read. ``not_locked``: the flavor has no lock."""

    exit_code = 16

    def __init__(self, reason: str, *, solution: str, not_locked: bool = False) -> None:
        super().__init__(reason, solution=solution)
        self.not_locked = not_locked


class ResolutionError(FactoryError):
    """The requirements contradict each other or the index."""

    exit_code = 17


class IndexGapError(FactoryError):
    """The index lacks something that the flavor needs; ``gaps`` holds each thing as data."""

    exit_code = 18

    def __init__(self, reason: str, *, solution: str, gaps: tuple[object, ...] = ()) -> None:
        super().__init__(reason, solution=solution)
        self.gaps = gaps


class IndexAccessError(FactoryError):
    """The index did not answer, or refused to."""

    exit_code = 19


class PrefetchError(FactoryError):
    """The prefetched folder is not what the lock says."""

    exit_code = 20


class EngineError(FactoryError):
    """The container engine is missing, or failed."""

    exit_code = 21


class ProgramError(FactoryError):
    """Another program is missing, failed, took too long, or printed too much (``printed_too_much``)."""

    exit_code = 22

    def __init__(self, reason: str, *, solution: str, printed_too_much: bool = False) -> None:
        super().__init__(reason, solution=solution)
        self.printed_too_much = printed_too_much


class BusyError(FactoryError):
    """Another run of the factory holds the folder."""

    exit_code = 23


class StorageError(FactoryError):
    """The file system refused ``path``, if that is given: full, read-only, or without permission."""

    exit_code = 24

    def __init__(self, reason: str, *, solution: str, path: Path | None = None) -> None:
        super().__init__(reason, solution=solution)
        self.path = path


class DriftError(FactoryError):
    """A flavor folder differs from its templates, and the work requires that it does not."""

    exit_code = 25


class IndexContentError(FactoryError):
    """A file of an index is not what its name says: cut short, changed, or another package's."""

    exit_code = 26


class AdvisoryError(FactoryError):
    """Known vulnerabilities cannot be determined: no advisories, a damaged one, or a failing service."""

    exit_code = 27


class RedirectError(FactoryError):
    """A server redirects to a host that is not allowed."""

    exit_code = 28


class MovesError(FactoryError):
    """Other packages would have to move, and that was not allowed; ``moves`` holds each as data."""

    exit_code = 29

    def __init__(self, reason: str, *, solution: str, moves: tuple[object, ...] = ()) -> None:
        super().__init__(reason, solution=solution)
        self.moves = moves


class SbomError(FactoryError):
    """An SBOM cannot be made, or cannot be attached to its image."""

    exit_code = 30


class KonfluxError(FactoryError):
    """What goes into a PipelineRun is not acceptable: a setting, a name, a branch."""

    exit_code = 31


class RegistryError(FactoryError):
    """A container registry did not answer, refused, or lacks what was pushed."""

    exit_code = 32


class ImageTestError(FactoryError):
    """The tests of an image could not be run; a failing test is a result.

    ``out_of_time``: what runs in a container took longer than its test may take.
    """

    exit_code = 33

    def __init__(self, reason: str, *, solution: str, out_of_time: bool = False) -> None:
        super().__init__(reason, solution=solution)
        self.out_of_time = out_of_time


class ImageError(FactoryError):
    """An image cannot be built as defined: a missing input, an unknown parent, a cycle of parents."""

    exit_code = 34


class DocumentError(FactoryError):
    """A JSON or TOML document from outside is too large, too deep, malformed, or of another shape."""

    exit_code = 35


class JournalError(FactoryError):
    """A change of several files was interrupted, and can be neither finished nor reverted automatically."""

    exit_code = 36


class OtherBuildError(FactoryError):
    """A package would be locked in another build, such as for another accelerator, without permission."""

    exit_code = 37


class ReplacesParentError(FactoryError):
    """An image would install another version of a package than its parent has, without permission."""

    exit_code = 38


class DefectError(FactoryError):
    """The factory itself failed, by an exception of another kind: a defect (EX_SOFTWARE)."""

    exit_code = 70
