"""What the name of a wheel or an sdist says."""

from packaging.utils import (
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version


def project_of(file_name: str) -> tuple[NormalizedName, Version] | None:
    """Normalized name and version in the name of a wheel or an sdist; None for any other file."""
    try:
        if file_name.endswith(".whl"):
            name, version, _build, _tags = parse_wheel_filename(file_name)
        else:
            name, version = parse_sdist_filename(file_name)
    except ValueError:
        return None
    return canonicalize_name(name), version
