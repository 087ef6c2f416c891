"""How uv is told that a package comes from a further index and from no other.

uv honours ``[tool.uv.sources]`` for what a ``pyproject.toml`` depends on itself, and then for that
package wherever else it is required; not for constraints, not for overrides, and not for a package
that only others require. So every package of a further index is a dependency of a project that is
made for this, beside the real requirements. What only that project requires is left out afterwards.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from factory.flavor.spec import FurtherIndex

_PROJECT = "universal-image-factory-sources"
_DEPENDS = re.compile(rf"{_PROJECT}(?:==0)? depends on")


def write_sources(folder: Path, sources: Mapping[str, FurtherIndex]) -> Path:
    """Write the project that names the sources of packages, and give its path."""
    indexes = {index.name: index.url for index in sources.values()}
    lines = [
        *("[project]", f'name = "{_PROJECT}"', 'version = "0"'),
        f"dependencies = {json.dumps(sorted(sources))}",
        "[tool.uv.sources]",
        *(
            f"{package} = {{ index = {json.dumps(index.name)} }}"
            for package, index in sorted(sources.items())
        ),
    ]
    for name, url in sorted(indexes.items()):
        # explicit: nothing is looked for there but what has it as its source.
        lines += [
            "[[tool.uv.index]]",
            f"name = {json.dumps(name)}",
            f"url = {json.dumps(url)}",
            "explicit = true",
        ]
    path = folder / "pyproject.toml"
    path.write_text("\n".join((*lines, "")), encoding="utf-8")
    return path


def in_the_projects_name(explanation: str) -> str:
    """An explanation of uv's in which the project that names the sources is the flavor's own."""
    return _DEPENDS.sub("you require", explanation)
