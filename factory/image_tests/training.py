"""The full tests of an image: a model that learns a little, a training-hub run, and GPUs."""

import json
import re
from typing import Any

from factory.image_tests.container import WORKING, missing_gpu
from factory.image_tests.context import Context, documents, inside_script
from factory.image_tests.definition import ImageFinding, Result, failed, judged, passed, skipped

MODEL_SECONDS = 600.0
_RUN_SECONDS = 580.0
# What PyTorch prints if there is no device.
_NO_GPU = re.compile(
    r"[^\n]*(?:not compiled with CUDA|No CUDA GPUs|No HIP GPUs|no NVIDIA driver|accelerator support: None"
    r"|has no attribute '_cuda_setDevice'|invalid device ordinal)[^\n]*"
)
# The order of adding 256 products of numbers around 1 in single precision makes such a difference.
_DIFFERENCE = 1e-2


def model(context: Context) -> Result:
    """Test that a small model trains, and is the same after it is saved and loaded."""
    return _judged_model(context.probe("model.py", "cpu", conditions=WORKING))


def training_hub(context: Context) -> Result:
    """Test that a training-hub run on generated data saves a checkpoint, as far as the hardware allows."""
    accelerator = context.subject.accelerator
    conditions = WORKING if missing_gpu(accelerator) else context.gpu_conditions()
    answer = context.probe("training.py", conditions=conditions, seconds=_RUN_SECONDS)
    output = f"training-hub {answer['version']}, {answer['rows']} rows, {answer['seconds']:.0f} s\n"
    output += answer["said"]
    if not answer["problem"] and answer["checkpoints"]:
        return passed(f"{', '.join(answer['checkpoints'])}\n{output}")
    lacking = _NO_GPU.search(f"{answer['problem']}\n{answer['said']}")
    if not answer["gpu"] and lacking and answer["rows"]:
        return skipped(
            f"training-hub {answer['version']} trains on a GPU alone, and there is none: it took the "
            f"generated model and data and made {answer['rows']} rows of tokens; its training process then "
            f"said {lacking[0].strip()!r}"
        )
    finding = ImageFinding(
        subject=f"training-hub {answer['version']}: {answer['step'] or 'checkpoint'}",
        problem=answer["problem"] or "the run succeeded and saved no checkpoint",
        cause=_last_error(answer["said"]),
        fix="Read its output; lock versions of training-hub, its backend, transformers that fit.",
    )
    return failed("a training-hub run on generated data fails", finding, output=output)


def device(context: Context) -> Result:
    """Test that PyTorch sees each GPU, was built for it, and computes as on the CPU."""
    conditions = context.gpu_conditions()
    answer = context.probe("device.py", conditions=conditions)
    if not answer["available"]:
        finding = ImageFinding(
            subject="torch.cuda",
            problem="sees no GPU, though the machine has one",
            cause=f"PyTorch is built for CUDA {answer['cuda']}, ROCm {answer['hip']}.",
            fix="Give the engine access to it (nvidia-ctk cdi generate), or a driver that is new enough.",
        )
        return failed("PyTorch sees no GPU", finding)
    findings = [finding for one in answer["devices"] for finding in _of_device(one, answer["built_for"])]
    learned = _judged_model(context.probe("model.py", "cuda", conditions=conditions))
    return judged(
        (*findings, *learned.findings),
        "a GPU does not work as it must",
        output=f"{json.dumps(answer)}\n{learned.output}",
    )


def collectives(context: Context) -> Result:
    """Test that NCCL, or RCCL, sums over every GPU."""
    script = inside_script("collective.py")
    command = ("torchrun", "--standalone", "--nproc_per_node=gpu", "--no-python", "python3", "-c", script)
    ran = context.run(*command, conditions=context.gpu_conditions())
    answer = documents(ran.output, key="rank")
    size = answer[0]["size"] if answer else 0
    wanted = float(sum(range(1, size + 1)))
    if answer and ran.status == 0 and size == len(answer) and all(one["sum"] == [wanted] for one in answer):
        return passed(f"{size} GPU(s), NCCL {answer[0]['version']}\n{ran.output}")
    finding = ImageFinding(
        subject="NCCL",
        problem=f"ended with status {ran.status}; {len(answer)} of {size or 'unknown'} processes had a sum",
        cause=_last_error(ran.output),
        fix="Run it with NCCL_DEBUG=INFO; look at /dev/shm (--shm-size) and at the driver's version.",
    )
    return failed("the GPUs did not sum up", finding, output=ran.output)


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
    """Return whether code for one of ``built_for`` runs on a device of ``architecture``.

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


def _judged_model(answer: dict[str, Any]) -> Result:
    if answer["problem"]:
        finding = ImageFinding(
            subject=answer["step"],
            problem=answer["problem"],
            fix="Look for versions of torch, transformers and safetensors that go together, and lock them.",
        )
        return failed(f"it failed where {answer['step']}", finding)
    findings = []
    if answer["without_gradient"] or answer["loss"][1] >= answer["loss"][0]:
        findings.append(
            ImageFinding(
                subject="training",
                problem=f"the loss went from {answer['loss'][0]} to {answer['loss'][1]}; without a gradient: "
                f"{', '.join(answer['without_gradient']) or 'none'}",
                fix="Look at torch: it does not learn what is easy to learn.",
            )
        )
    if answer["different"] or not answer["same"]:
        findings.append(
            ImageFinding(
                subject="checkpoint",
                problem=f"loaded other than what was saved: {', '.join(answer['different']) or 'logits'}",
                fix="Look at safetensors and transformers: lock versions that go together.",
            )
        )
    output = (
        f"{answer['parameters']} parameters, loss {answer['loss'][0]} to {answer['loss'][1]}, "
        f"{answer['tensors']} tensors saved and loaded, {answer['seconds']:.1f} s"
    )
    return judged(tuple(findings), "the model does not learn, or is not saved as it is", output=output)


def _last_error(text: str) -> str:
    errors = re.findall(r"^(?:\[rank\d+\]: ?)?((?:\w+\.)*\w*(?:Error|Exception)\b:.*)", text, re.MULTILINE)
    return errors[0] if errors else text.strip().rpartition("\n")[2]
