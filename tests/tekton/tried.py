"""Small Tasks to try the runner with."""

import textwrap
from typing import Any


def task(*steps: dict[str, Any], **spec: Any) -> dict[str, Any]:  # noqa: ANN401 # as YAML is
    """A Task of these steps, each in the image that the parameter `image` names."""
    params = [{"name": "image"}, *spec.pop("params", [])]
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "Task",
        "metadata": {"name": "tried"},
        "spec": {"params": params, "steps": [{"image": "$(params.image)", **step} for step in steps], **spec},
    }


def script(text: str, **step: Any) -> dict[str, Any]:  # noqa: ANN401 # as YAML is
    """A step with a bash script."""
    return {"script": f"#!/usr/bin/env bash\nset -euo pipefail\n{textwrap.dedent(text)}", **step}
