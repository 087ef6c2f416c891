"""The quick tests: seconds, in five containers altogether."""

from factory.image_tests.container import ARBITRARY_USER
from factory.image_tests.context import Context
from factory.image_tests.definition import Result, judged
from factory.image_tests.outcome import Finding


def arbitrary_user(context: Context) -> Result:
    """The image's Python starts as OpenShift runs it, and has a place for temporary files."""
    user = context.probe("user.py")
    findings = []
    if f"{user['uid']}:{user['gid']}" != ARBITRARY_USER:
        findings.append(
            Finding(
                subject="user",
                problem=f"runs as {user['uid']}:{user['gid']}, and was started as {ARBITRARY_USER}",
                fix="Let nothing in the image change the user: no setuid program, no sudo.",
            )
        )
    if not user["temporary"]:
        findings.append(
            Finding(
                subject="/tmp",  # noqa: S108 - in the image
                problem="no temporary file can be written",
                fix="Leave TMPDIR alone, or let it name a folder that is mounted to be written.",
            )
        )
    return judged(tuple(findings), "it does not run as OpenShift runs images")
