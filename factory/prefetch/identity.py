"""Whether an artifact is the package that its name says: a digest proves only which bytes were locked."""

from typing import BinaryIO

from factory.errors import IndexContentError
from factory.index.cache import MetadataCache
from factory.prefetch.problem import Problem


def wrong_identity(file: BinaryIO, *, file_name: str, sha256: str, cache: MetadataCache) -> Problem | None:
    """What is wrong with a wheel that is to be ``file_name``; None if it is valid, or was found so before.

    An sdist is not opened: what it builds shows only when it is built.

    Args:
        file: the wheel, open, whatever its name is there.
        file_name: the name that it has, or will have.
        sha256: the digest of its bytes, in hex, as they were read.
        cache: what keeps which wheels are valid, so that a second run need not look into them.
    """
    if not file_name.endswith(".whl") or cache.get_checked(file_name, sha256) is not None:
        return None
    # Imported when a wheel is opened: a run that only verifies digests starts in half the time.
    from factory.index.wheel import check_wheel  # noqa: PLC0415

    try:
        wheel = check_wheel(file, of=file_name)
    except IndexContentError as error:
        return Problem(kind="package", text=error.reason)
    cache.put_checked(file_name, sha256, wheel.metadata)
    return None
