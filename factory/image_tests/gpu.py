"""Whether this machine has a GPU, and how an engine gives it to a container."""

from pathlib import Path

from factory.engine.engine import Engine

# What a driver makes, by the accelerator.
_DEVICES = {"cuda": Path("/dev/nvidiactl"), "rocm": Path("/dev/kfd")}
_MAKERS = {"cuda": "NVIDIA", "rocm": "AMD"}


def missing_gpu(accelerator: str | None) -> str | None:
    """Why a test that needs a GPU cannot be run here for an image of this accelerator; None where it can."""
    if accelerator == "cpu":
        return "the image is for the CPU"
    wanted = [accelerator] if accelerator in _DEVICES else list(_DEVICES)
    if any(_DEVICES[kind].exists() for kind in wanted):
        return None
    makers = " or ".join(_MAKERS[kind] for kind in wanted)
    return f"this machine has no {makers} GPU: {' and '.join(str(_DEVICES[kind]) for kind in wanted)} missing"


def gpu_options(engine: Engine, accelerator: str) -> tuple[str, ...]:
    """The engine's options that give a container every GPU of the machine.

    podman takes NVIDIA's from the Container Device Interface (``nvidia-ctk cdi generate``).
    """
    if accelerator == "rocm":
        return ("--device", "/dev/kfd", "--device", "/dev/dri", "--group-add", "video")
    if engine.kind == "docker":
        return ("--gpus", "all")
    return ("--device", "nvidia.com/gpu=all", "--security-opt", "label=disable")
