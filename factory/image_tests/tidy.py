"""The quick tests of what must not be in an image: compilers, caches, credentials, build leftovers."""

from collections.abc import Iterable
from typing import Any

from factory.image_tests.context import Context
from factory.image_tests.definition import ImageFinding, Result, judged
from factory.image_tests.inventory import base_contents, contents
from factory.image_tests.subject import inherited_steps, is_credential

_FIXES = {
    "cache": "Install with --no-cache, or remove it in the same RUN: a later layer only hides it.",
    "credential": "Take it out of every layer, and revoke it: who can pull the image can read it. Give a "
    "build what it needs by --secret.",
    "stray": "Remove it in the RUN that makes it, or make it in the builder stage.",
}


def compilers(context: Context) -> Result:
    """Test that PATH has no build tool, except those of locked packages or the base image."""
    in_base = {found["path"] for found in (base_contents(context) or {}).get("compilers", ())}
    findings, advice = [], []
    for found in contents(context)["compilers"]:
        path, owner = found["path"], found["owner"]
        if owner or path in in_base:
            brings = f"the package {owner}" if owner else "the base image"
            advice.append(
                ImageFinding(
                    subject=path,
                    problem=f"a build tool that {brings} brings",
                    fix="Leave it out if nothing needs it at run time.",
                )
            )
        else:
            findings.append(
                ImageFinding(
                    subject=path,
                    problem="a compiler or build tool is in the final image",
                    cause="It was installed in the final stage.",
                    fix="Install it in the builder stage, and copy its output from there.",
                )
            )
    return judged(tuple(findings), "there are compilers in the image", advice=tuple(advice))


def caches(context: Context) -> Result:
    """Test that no cache of a package installer is left."""
    return _without(context, "cache", "a cache was left in the image")


def stray_files(context: Context) -> Result:
    """Test that the build left no files."""
    return _without(context, "stray", "files of the build were left in the image")


def credentials(context: Context) -> Result:
    """Test that no login, token or private key is in the image's files, environment or history."""
    findings, advice = _leftovers(context, "credential")
    subject, base = context.subject, context.base
    in_base = base.configuration.environment if base else {}
    for name, value in sorted(subject.configuration.environment.items()):
        if is_credential(name, value):
            found = _credential(f"environment variable {name}", "looks like a credential")
            (advice if in_base.get(name) == value else findings).append(found)
    steps = inherited_steps(subject.history, base.history if base else ())
    for inherited, part in ((True, subject.history[:steps]), (False, subject.history[steps:])):
        for what in dict.fromkeys(what for step in part for what in step.credentials):
            found = _credential(f"history: {what}", "a build argument or a command of the build shows it")
            (advice if inherited else findings).append(found)
    return judged(tuple(findings), "there are credentials in the image", advice=tuple(advice))


def _without(context: Context, kind: str, reason: str) -> Result:
    findings, advice = _leftovers(context, kind)
    return judged(tuple(findings), reason, advice=tuple(advice))


def _leftovers(context: Context, kind: str) -> tuple[list[ImageFinding], list[ImageFinding]]:
    """Return the findings of a kind in the image, and those its base image has already."""
    in_base = {found["path"] for found in _of_kind((base_contents(context) or {}).get("leftovers", ()), kind)}
    findings: list[ImageFinding] = []
    advice: list[ImageFinding] = []
    for found in _of_kind(contents(context)["leftovers"], kind):
        finding = ImageFinding(subject=found["path"], problem=found["what"], fix=_FIXES[kind])
        (advice if found["path"] in in_base else findings).append(finding)
    return findings, advice


def _of_kind(leftovers: Iterable[dict[str, Any]], kind: str) -> Iterable[dict[str, Any]]:
    return (found for found in leftovers if found["kind"] == kind)


def _credential(subject: str, problem: str) -> ImageFinding:
    return ImageFinding(subject=subject, problem=problem, fix=_FIXES["credential"])
