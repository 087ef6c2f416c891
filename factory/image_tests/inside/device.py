"""Run in an image on a GPU: print torch's build, the GPUs, and their results."""

from __future__ import annotations

import json
from typing import Any

import torch


def described(number: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(number)
    major, minor = torch.cuda.get_device_capability(number)
    # ROCm names its architectures, such as gfx942:sramecc+; CUDA has numbers.
    name = str(getattr(properties, "gcnArchName", "")).partition(":")[0] if torch.version.hip else ""
    return {"name": properties.name, "architecture": name or f"sm_{major}{minor}"}


def largest_difference(number: int) -> float:
    """Compare a product of two matrices on the device and on the CPU, in single precision."""
    torch.manual_seed(number)
    first, second = torch.randn(256, 256), torch.randn(256, 256)
    there = (first.to(f"cuda:{number}") @ second.to(f"cuda:{number}")).cpu()
    return float((there - first @ second).abs().max())


def main() -> None:
    found: dict[str, Any] = {
        "available": torch.cuda.is_available(),
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "built_for": torch.cuda.get_arch_list(),
        "devices": [],
    }
    torch.backends.cuda.matmul.allow_tf32 = False
    for number in range(torch.cuda.device_count() if found["available"] else 0):
        found["devices"].append({**described(number), "difference": largest_difference(number)})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
