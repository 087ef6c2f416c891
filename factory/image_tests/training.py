"""The full tests of an image: a model that learns a little, a training-hub run, and GPUs."""

import json
import re
from typing import Any

from factory.image_tests.container import missing_gpu
from factory.image_tests.context import Context, documents, inside_script
from factory.image_tests.definition import ImageFinding, Result, failed, judged, passed, skipped
from factory.image_tests.importing import WORKING, with_gpu

MODEL_SECONDS = 600.0
_RUN_SECONDS = 580.0
# What PyTorch says where there is no device.
_NO_GPU = re.compile(
    r"[^\n]*(?:not compiled with CUDA|No CUDA GPUs|No HIP GPUs|no NVIDIA driver|accelerator support: None"
    r"|has no attribute '_cuda_setDevice'|invalid device ordinal)[^\n]*"
)
# Single precision over 256 products of numbers around 1: what the order of adding up makes of it.
_DIFFERENCE = 1e-2


def model(context: Context) -> Result:
    """A small model is made from a configuration, trained a little, saved, loaded, and is the same."""
    return _judged_model(context.probe("model.py", "cpu", conditions=WORKING))


def training_hub(context: Context) -> Result:
    """A training-hub run on made data ends with a checkpoint; without a GPU as far as that goes."""
    accelerator = context.subject.accelerator
    conditions = WORKING if missing_gpu(accelerator) else with_gpu(context)
    told = context.probe("training.py", conditions=conditions, seconds=_RUN_SECONDS)
    output = f"training-hub {told['version']}, {told['rows']} rows, {told['seconds']:.0f} s\n{told['said']}"
    if not told["problem"] and told["checkpoints"]:
        return passed(f"{', '.join(told['checkpoints'])}\n{output}")
    lacking = _NO_GPU.search(f"{told['problem']}\n{told['said']}")
    if not told["gpu"] and lacking and told["rows"]:
        return skipped(
            f"training-hub {told['version']} trains on a GPU alone, and there is none: it took the made "
            f"model and data and made {told['rows']} rows of tokens; its training process then said "
            f"{lacking[0].strip()!r}"
        )
    finding = ImageFinding(
        subject=f"training-hub {told['version']}: {told['step'] or 'checkpoint'}",
        problem=told["problem"] or "the run ended well and saved no checkpoint",
        cause=_last_error(told["said"]),
        fix="Read its output; lock versions of training-hub, its backend, transformers that fit.",
    )
    return failed("a training-hub run on made data does not end well", finding, output=output)


def device(context: Context) -> Result:
    """PyTorch sees each GPU, was built for it, and reckons on it as on the CPU; a model learns there."""
    conditions = with_gpu(context)
    told = context.probe("device.py", conditions=conditions)
    if not told["available"]:
        finding = ImageFinding(
            subject="torch.cuda",
            problem="sees no GPU, though the machine has one",
            cause=f"PyTorch is built for CUDA {told['cuda']}, ROCm {told['hip']}.",
            fix="Give the engine access to it (nvidia-ctk cdi generate), or a driver that is new enough.",
        )
        return failed("PyTorch sees no GPU", finding)
    findings = [finding for one in told["devices"] for finding in _of_device(one, told["built_for"])]
    learned = _judged_model(context.probe("model.py", "cuda", conditions=conditions))
    return judged(
        (*findings, *learned.findings),
        "a GPU cannot be used as it has to be",
        output=f"{json.dumps(told)}\n{learned.output}",
    )


def collectives(context: Context) -> Result:
    """NCCL, or RCCL, adds up over every GPU that is there."""
    script = inside_script("collective.py")
    command = ("torchrun", "--standalone", "--nproc_per_node=gpu", "--no-python", "python3", "-c", script)
    ran = context.run(*command, conditions=with_gpu(context))
    told = documents(ran.output, key="rank")
    size = told[0]["size"] if told else 0
    wanted = float(sum(range(1, size + 1)))
    if told and ran.status == 0 and size == len(told) and all(one["sum"] == [wanted] for one in told):
        return passed(f"{size} GPU(s), NCCL {told[0]['version']}\n{ran.output}")
    finding = ImageFinding(
        subject="NCCL",
        problem=f"ended with status {ran.status}; {len(told)} of {size or 'unknown'} processes had a sum",
        cause=_last_error(ran.output),
        fix="Run it with NCCL_DEBUG=INFO; look at /dev/shm (--shm-size) and at the driver's version.",
    )
    return failed("the GPUs did not add up", finding, output=ran.output)


def _of_device(one: dict[str, Any], built_for: list[str]) -> list[ImageFinding]:
    found = []
    if not covers(built_for, one["architecture"]):
        found.append(
            ImageFinding(
                subject=one["name"],
                problem=f"is {one['architecture']}, and PyTorch was built for {', '.join(built_for)}",
                fix="Add it to TORCH_CUDA_ARCH_LIST (PYTORCH_ROCM_ARCH), or take a build that has it.",
            )
        )
    if one["difference"] > _DIFFERENCE:
        found.append(
            ImageFinding(
                subject=one["name"],
                problem=f"a product of matrices differs from the CPU's by {one['difference']:.3g}",
                fix="Look at the driver, the libraries for linear algebra, and the device itself.",
            )
        )
    return found


def covers(built_for: list[str], architecture: str) -> bool:
    """Whether code for one of ``built_for`` runs on a device of ``architecture``.

    Machine code (``sm_86``) runs on a device of the same major version that is not older, code for the
    driver to translate (``compute_90``) on every newer one (CUDA's compute capabilities); ROCm's (``gfx942``)
    on its own.
    """
    if architecture in built_for:
        return True
    wanted = re.fullmatch(r"sm_(\d+)(\d)", architecture)
    for name in built_for if wanted else ():
        has = re.fullmatch(r"(sm|compute)_(\d+)(\d)", name)
        if not has or not wanted:
            continue
        one, other = (int(has[2]), int(has[3])), (int(wanted[1]), int(wanted[2]))
        if one <= other and (has[1] == "compute" or one[0] == other[0]):
            return True
    return False


def _judged_model(told: dict[str, Any]) -> Result:
    if told["problem"]:
        finding = ImageFinding(
            subject=told["step"],
            problem=told["problem"],
            fix="Look for versions of torch, transformers and safetensors that go together, and lock them.",
        )
        return failed(f"it went wrong where {told['step']}", finding)
    findings = []
    if told["without_gradient"] or told["loss"][1] >= told["loss"][0]:
        findings.append(
            ImageFinding(
                subject="training",
                problem=f"the loss went from {told['loss'][0]} to {told['loss'][1]}; without a gradient: "
                f"{', '.join(told['without_gradient']) or 'none'}",
                fix="Look at torch: it does not learn what is easy to learn.",
            )
        )
    if told["different"] or not told["same"]:
        findings.append(
            ImageFinding(
                subject="checkpoint",
                problem=f"what was loaded is not what was saved: {', '.join(told['different']) or 'logits'}",
                fix="Look at safetensors and transformers: lock versions that go together.",
            )
        )
    output = (
        f"{told['parameters']} parameters, loss {told['loss'][0]} to {told['loss'][1]}, "
        f"{told['tensors']} tensors saved and loaded, {told['seconds']:.1f} s"
    )
    return judged(tuple(findings), "the model does not do as it has to", output=output)


def _last_error(text: str) -> str:
    errors = re.findall(r"^(?:\[rank\d+\]: ?)?((?:\w+\.)*\w*(?:Error|Exception)\b:.*)", text, re.MULTILINE)
    return errors[0] if errors else text.strip().rpartition("\n")[2]
