"""What Hermeto is asked to fetch for a flavor: Konflux's ``prefetch-input``, made from the spec."""

import json

from factory.dockerfile.references import PLATFORMS
from factory.flavor.spec import Spec
from factory.lock.lockset import lock_file_names
from factory.settings import FLAVORS_FOLDER


def prefetch_input(name: str, spec: Spec) -> str:
    """One line of JSON: a list with the one ``pip`` package of a flavor.

    ``arch`` is a comma-separated list, and ``py_version`` one integer (Hermeto's `PipBinaryFilters`). The
    filters admit every wheel that the narrow lock lists; they keep Hermeto from wheels of a lock that
    somebody wrote wide.
    """
    wheels = {
        "arch": ",".join(PLATFORMS[platform] for platform in spec.platforms),
        "os": "linux",
        "py_version": int(spec.python_digits),
    }
    package = {
        "type": "pip",
        "path": f"{FLAVORS_FOLDER}/{name}",
        "requirements_files": list(lock_file_names(spec)),
        "binary": wheels,
    }
    return json.dumps([package], separators=(",", ":"))
