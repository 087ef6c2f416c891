"""The tests of a PyTorch that was compiled for the image: its version, and for which GPUs."""

from packaging.utils import canonicalize_name

from factory.image_tests.context import Context
from factory.image_tests.definition import Result, judged, skipped
from factory.image_tests.importing import WORKING
from factory.image_tests.inventory import contents
from factory.image_tests.matching import same_version
from factory.image_tests.outcome import Finding

# As templates/pytorch-base labels its images.
_VERSION_LABEL = "io.universal-image-factory.pytorch.version"
_ARCHITECTURES_LABEL = "io.universal-image-factory.pytorch.arch-list"
_VERSION_ARGUMENT = "PYTORCH_VERSION"
_ARCHITECTURES_ARGUMENTS = ("TORCH_CUDA_ARCH_LIST", "PYTORCH_ROCM_ARCH")
_REBUILD = "Build the base image again, and what stands on it: `factory build`."


def torch_version(context: Context) -> Result:
    """The installed torch is the one that the PyTorch base was to compile."""
    wanted = _asked(context, (_VERSION_ARGUMENT,), _VERSION_LABEL)
    if wanted is None:
        return skipped(f"neither {_VERSION_ARGUMENT} of a base nor a label says which PyTorch is wanted")
    packages = contents(context)["packages"]
    found = [one["version"] for one in packages if canonicalize_name(one["name"]) == "torch"]
    findings: tuple[Finding, ...] = ()
    if len(found) != 1 or not same_version(found[0], wanted):
        problem = f"{wanted} was to be compiled, and the image has {' and '.join(found) or 'none'}"
        cause = "Something installs another torch over it." if found else ""
        findings = (Finding(subject="torch", problem=problem, cause=cause, fix=_REBUILD),)
    return judged(findings, "torch is not the one that was asked for", output=f"torch {', '.join(found)}")


def torch_architectures(context: Context) -> Result:
    """Torch was compiled for every GPU that the base's build arguments name; no GPU is needed to tell."""
    wanted = _asked(context, _ARCHITECTURES_ARGUMENTS, _ARCHITECTURES_LABEL)
    if wanted is None:
        return skipped(f"neither {' or '.join(_ARCHITECTURES_ARGUMENTS)} of a base nor a label names any GPU")
    told = context.probe("built_for.py", conditions=WORKING)
    found = told["architectures"]
    findings = tuple(
        Finding(subject=name, problem=f"torch was compiled for {', '.join(found) or 'no GPU'}", fix=_REBUILD)
        for name in named(wanted)
        if name not in found
    )
    output = f"torch {told['version']}: {', '.join(found)}"
    return judged(findings, "torch was not compiled for every GPU that was asked for", output=output)


def named(architectures: str) -> tuple[str, ...]:
    """The entries of TORCH_CUDA_ARCH_LIST or PYTORCH_ROCM_ARCH as torch names them.

    ``9.0+PTX`` is ``sm_90`` and ``compute_90``, ``gfx90a:xnack-`` is ``gfx90a``.
    """
    found: list[str] = []
    for entry in architectures.replace(";", " ").split():
        number, _, translated = entry.partition("+")
        if entry.startswith("gfx"):
            found.append(entry.partition(":")[0])
            continue
        found.append(f"sm_{number.replace('.', '')}")
        found += [f"compute_{number.replace('.', '')}"] if translated else []
    return tuple(found)


def _asked(context: Context, arguments: tuple[str, ...], label: str) -> str | None:
    """What the build arguments of the PyTorch base in the image's line say, else its label."""
    for definition in context.subject.lineage.definitions:
        said = dict(definition.build_args) if definition.kind == "pytorch-base" else {}
        if value := next((said[name] for name in arguments if said.get(name)), None):
            return value
    return context.subject.configuration.labels.get(label) or None
