"""The digest of what a lock is resolved from, by which a stale lock is known without a network."""

import hashlib
import json

from factory.flavor.project import Project


def inputs_digest(project: Project) -> str:
    """``sha256:…`` over everything in a flavor's ``pyproject.toml`` that decides what is locked.

    The digest does not depend on the order in which requirements stand, nor on what the lock
    cannot depend on: base images, the name, the reasons for what is missing.
    """
    spec = project.spec
    inputs: dict[str, object] = {
        "dependencies": sorted(project.dependencies),
        "constraints": sorted(project.constraints),
        "overrides": sorted(project.overrides),
        "missing": sorted(missing.requirement for missing in spec.missing),
        "python": spec.python,
        "platforms": sorted(spec.platforms),
        "glibc": spec.glibc,
        "index-url": spec.index_url,
    }
    if spec.indexes:
        inputs["indexes"] = sorted((index.name, index.url, *sorted(index.packages)) for index in spec.indexes)
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
