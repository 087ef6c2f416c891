"""Test an image against its description: spec, labels, lock, and its base's arguments."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from factory.console import plural
from factory.dockerfile.model import read_dockerfile
from factory.dockerfile.references import parse_requirement
from factory.engine.images import IDENTITY_LABEL, IMAGE_LABEL
from factory.files import read_text
from factory.image_tests.container import WORKING
from factory.image_tests.context import Context
from factory.image_tests.definition import ImageFinding, Result, judged, skipped
from factory.image_tests.inventory import base_contents, contents, locked_versions
from factory.image_tests.subject import TITLE_LABEL

_NAME_LABELS = ("name", TITLE_LABEL)
_REBUILD = "Build the image again: `factory build`."
# As templates/pytorch-base labels its images.
_VERSION_LABEL = "io.universal-image-factory.pytorch.version"
_ARCHITECTURES_LABEL = "io.universal-image-factory.pytorch.arch-list"
_VERSION_ARGUMENT = "PYTORCH_VERSION"
_ARCHITECTURES_ARGUMENTS = ("TORCH_CUDA_ARCH_LIST", "PYTORCH_ROCM_ARCH")
_REBUILD_BASE = "Build the base image again, and the images on it: `factory build`."


def versions(context: Context) -> Result:
    """Test that Python, torch and training-hub have the versions of the spec."""
    spec = context.subject.spec
    if spec is None:
        return skipped("it is not known which flavor this image is")
    answer = contents(context)
    # A stack may replace a package of its flavor, which its own lock says.
    replaced = {} if context.subject.flavor else locked_versions(context) or {}
    installed: dict[str, str] = {
        canonicalize_name(package["name"]): package["version"] for package in answer["packages"]
    }
    pairs = (
        ("Python", spec.python, answer["environment"]["python_version"]),
        ("torch", replaced.get("torch", spec.torch), installed.get("torch")),
        ("training-hub", replaced.get("training-hub", spec.training_hub), installed.get("training-hub")),
    )
    findings = tuple(
        ImageFinding(
            subject=name,
            problem=f"the spec says {wanted}, and the image has {found or 'none'}",
            fix=f"Lock again if the spec was changed. {_REBUILD}",
        )
        for name, wanted, found in pairs
        if found is None or not same_version(found, wanted)
    )
    shown = ", ".join(f"{name} {found}" for name, _, found in pairs)
    return judged(findings, "the versions are not those of the spec", output=shown)


def labels(context: Context) -> Result:
    """Test that the labels are those of the Dockerfile, and name this image."""
    subject = context.subject
    found = subject.configuration.labels
    findings: list[ImageFinding] = []
    definition = subject.definition
    if definition is not None:
        wanted = declared_labels(definition.folder / definition.dockerfile)
        findings += _differing(found, wanted)
        named = {label: found[label] for label in (*_NAME_LABELS, IMAGE_LABEL) if label in found}
        findings += [
            _label(label, f"says {value}, and the image is {definition.name}")
            for label, value in named.items()
            if value != definition.name and label not in {finding.subject for finding in findings}
        ]
    elif not any(found.get(label) for label in _NAME_LABELS):
        findings.append(_label(TITLE_LABEL, "is missing, and so nothing says what this image is"))
    if IMAGE_LABEL in found and not re.fullmatch("[0-9a-f]{64}", found.get(IDENTITY_LABEL, "")):
        findings.append(_label(IDENTITY_LABEL, "is missing or no identity"))
    advice: tuple[ImageFinding, ...] = ()
    if IDENTITY_LABEL not in found:
        advice = (
            ImageFinding(
                subject=IDENTITY_LABEL,
                problem="is missing: it is not known what the image was built from",
                fix="Build it with `factory build`, which labels it.",
            ),
        )
    return judged(tuple(findings), "the labels are not as they should be", advice=advice)


def dependencies(context: Context) -> Result:
    """Test that every installed package has what it requires, as ``pip check`` does."""
    answer, base = contents(context), base_contents(context)
    projects = [one.flavor.project for one in context.subject.lineage.definitions if one.flavor]
    overridden = _names(override for project in projects for override in project.overrides)
    before = set(conflicts(base["packages"], base["environment"])) if base else set()
    findings: list[ImageFinding] = []
    advice: list[ImageFinding] = []
    for conflict in conflicts(answer["packages"], answer["environment"]):
        deliberate = conflict.wanted in overridden
        cause = "The spec overrides this requirement, or a parent's." if deliberate else ""
        cause = cause or ("The base image has the same conflict." if conflict in before else "")
        finding = ImageFinding(
            subject=conflict.package,
            problem=conflict.problem,
            cause=cause,
            fix=""
            if deliberate
            else f"Add what fits of {conflict.wanted} to the dependencies, and lock again.",
        )
        (advice if cause else findings).append(finding)
    shown = plural(len(answer["packages"]), "package")
    return judged(tuple(findings), "packages do not fit together", output=shown, advice=tuple(advice))


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A requirement that is not satisfied; ``installed`` is None if the wanted package is missing."""

    package: str
    requirement: str
    wanted: str
    installed: str | None

    @property
    def problem(self) -> str:
        """Describe the unmet requirement."""
        there = "it is not installed" if self.installed is None else f"{self.installed} is installed"
        return f"requires {self.requirement}, and {there}"


def conflicts(packages: Sequence[Mapping[str, Any]], environment: Mapping[str, str]) -> tuple[Conflict, ...]:
    """Return the unsatisfied requirements (Requires-Dist, Requires-Python), by package.

    ``environment`` are the variables of environment markers (PEP 508) in the image. Extras do not count,
    since an installation does not record them. Skips what cannot be read, as pip does.
    """
    installed = {canonicalize_name(package["name"]): package["version"] for package in packages}
    found: list[Conflict] = []
    for package in sorted(packages, key=lambda package: str(package["name"]).lower()):
        if (python := _python_conflict(package, environment)) is not None:
            found.append(python)
        for text in package["requires"]:
            try:
                requirement = parse_requirement(text)
            except InvalidRequirement:
                continue
            if requirement.marker and not requirement.marker.evaluate({**environment, "extra": ""}):
                continue
            wanted = canonicalize_name(requirement.name)
            version = installed.get(wanted)
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                unmet = f"{requirement.name}{requirement.specifier}"
                found.append(
                    Conflict(package=package["name"], requirement=unmet, wanted=wanted, installed=version)
                )
    return tuple(found)


def _python_conflict(package: Mapping[str, Any], environment: Mapping[str, str]) -> Conflict | None:
    python = environment["python_full_version"]
    try:
        wanted = SpecifierSet(package["python"] or "")
    except ValueError:
        return None
    if wanted.contains(python, prereleases=True):
        return None
    return Conflict(
        package=package["name"], requirement=f"Python {wanted}", wanted="python", installed=python
    )


def locked_packages(context: Context) -> Result:
    """Test that each locked package is installed once, in its locked version."""
    pinned = locked_versions(context)
    if pinned is None:
        return skipped("the image has no lock file in it, and it is not known which flavor it is")
    installed: dict[str, list[str]] = defaultdict(list)
    for package in contents(context)["packages"]:
        installed[canonicalize_name(package["name"])].append(package["version"])
    findings = []
    for name, version in pinned.items():
        there = installed.get(name, [])
        if len(there) == 1 and same_version(there[0], version):
            continue
        problem = f"is locked as {version}, and " + (
            f"the image has {' and '.join(there)}" if there else "the image has none"
        )
        cause = "The base image's is still there beside it." if len(there) > 1 else ""
        findings.append(ImageFinding(subject=name, problem=problem, cause=cause, fix=_REBUILD))
    advice = tuple(
        ImageFinding(subject=name, problem=f"is installed {len(there)} times: {', '.join(there)}", fix="")
        for name, there in sorted(installed.items())
        if len(there) > 1 and name not in pinned
    )
    shown = plural(len(pinned), "locked package")
    return judged(tuple(findings), "packages are not as they are locked", output=shown, advice=advice)


def same_version(found: str, wanted: str) -> bool:
    """Return whether a version is the wanted one; a local part counts only if wanted (PEP 440).

    ``3.11`` is Python's 3.11; ``2.13.0`` is torch's ``2.13.0+cpu``.
    """
    try:
        there, asked = Version(found), Version(wanted)
    except ValueError:
        return found == wanted
    return there == asked if asked.local else Version(there.public) == asked


def declared_labels(dockerfile: Path) -> dict[str, str | None]:
    """Return the labels of a Dockerfile's last stage; None for a value from a build argument.

    A missing file has none.
    """
    try:
        text = read_text(dockerfile, errors="replace")
    except OSError:
        return {}
    return {
        name: None if "$" in value else value
        for instruction in read_dockerfile(text).final
        if instruction.name == "LABEL"
        for name, value in instruction.pairs or ()
    }


def _differing(found: Mapping[str, str], wanted: Mapping[str, str | None]) -> list[ImageFinding]:
    findings = []
    for label, value in wanted.items():
        if label not in found:
            findings.append(_label(label, "is missing, and the Dockerfile sets it"))
        elif value is not None and found[label] != value:
            findings.append(_label(label, f"is {found[label]!r}, and the Dockerfile says {value!r}"))
    return findings


def _label(label: str, problem: str) -> ImageFinding:
    return ImageFinding(subject=label, problem=problem, fix=_REBUILD)


def _names(requirements: Iterable[str]) -> frozenset[str]:
    found = set()
    for text in requirements:
        try:
            found.add(canonicalize_name(parse_requirement(text).name))
        except InvalidRequirement:
            continue
    return frozenset(found)


def torch_version(context: Context) -> Result:
    """Test that the installed torch is the one that the PyTorch base was to compile."""
    wanted = _asked(context, (_VERSION_ARGUMENT,), _VERSION_LABEL)
    if wanted is None:
        return skipped(f"neither {_VERSION_ARGUMENT} of a base nor a label says which PyTorch is wanted")
    packages = contents(context)["packages"]
    found = [one["version"] for one in packages if canonicalize_name(one["name"]) == "torch"]
    findings: tuple[ImageFinding, ...] = ()
    if len(found) != 1 or not same_version(found[0], wanted):
        problem = f"{wanted} was to be compiled, and the image has {' and '.join(found) or 'none'}"
        cause = "Something installs another torch over it." if found else ""
        findings = (ImageFinding(subject="torch", problem=problem, cause=cause, fix=_REBUILD_BASE),)
    return judged(findings, "torch is not the one that was asked for", output=f"torch {', '.join(found)}")


def torch_architectures(context: Context) -> Result:
    """Test that torch was compiled for every GPU that the base's arguments name; needs no GPU."""
    wanted = _asked(context, _ARCHITECTURES_ARGUMENTS, _ARCHITECTURES_LABEL)
    if wanted is None:
        return skipped(f"neither {' or '.join(_ARCHITECTURES_ARGUMENTS)} of a base nor a label names any GPU")
    answer = context.probe("built_for.py", conditions=WORKING)
    found = answer["architectures"]
    findings = tuple(
        ImageFinding(
            subject=name, problem=f"torch was compiled for {', '.join(found) or 'no GPU'}", fix=_REBUILD_BASE
        )
        for name in named(wanted)
        if name not in found
    )
    output = f"torch {answer['version']}: {', '.join(found)}"
    return judged(findings, "torch was not compiled for every GPU that was asked for", output=output)


def named(architectures: str) -> tuple[str, ...]:
    """Return the entries of TORCH_CUDA_ARCH_LIST or PYTORCH_ROCM_ARCH as torch names them.

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
    """Return the build arguments of the image's PyTorch base, else its label."""
    for definition in context.subject.lineage.definitions:
        said = dict(definition.build_args) if definition.kind == "pytorch-base" else {}
        if value := next((said[name] for name in arguments if said.get(name)), None):
            return value
    return context.subject.configuration.labels.get(label) or None
