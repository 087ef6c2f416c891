"""A report in SARIF 2.1.0 (OASIS), which code scanning services read.

The document is small and its form fixed, and the libraries for it are models of the whole standard
(sarif-om has stood still since 2019; sarif-pydantic accepts any key), so it is written here.
"""

import hashlib
import re
from collections import Counter
from pathlib import PurePath
from urllib.parse import quote

from factory import __version__
from factory.check.check import Report
from factory.check.finding import Finding
from factory.check.rules import RULES, Rule
from factory.console import Failure, to_json

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_FINGERPRINT = "factoryFinding/v1"
# What moves in a message when lines are added above it.
_LINE_NUMBER = re.compile(r"\bline [0-9]+")

Object = dict[str, object]


def as_sarif(report: Report) -> str:
    """One run with every rule and one result a finding; a waived finding is one that is suppressed."""
    codes = {code: position for position, code in enumerate(RULES)}
    seen: Counter[str] = Counter()
    results = []
    for item in report.findings:
        key = _key(item)
        results.append(_result(item, codes[item.code], _fingerprint(key, seen[key])))
        seen[key] += 1
    return _document(results, {"executionSuccessful": True})


def error_as_sarif(failure: Failure) -> str:
    """A run without results that failed: what happened and what to do are a notification of the tool's.

    Without it, whoever uploads the document would take no finding for a clean repository.
    """
    notification: Object = {
        "level": "error",
        "descriptor": {"id": failure.kind},
        "message": {"text": _text(f"{failure.reason}\nWhat to do: {failure.solution}")},
    }
    failed: Object = {
        "executionSuccessful": False,
        "exitCode": failure.exit_code,
        "toolExecutionNotifications": [notification],
    }
    return _document([], failed)


def _document(results: list[Object], invocation: Object) -> str:
    run: Object = {
        "tool": {
            "driver": {
                "name": "factory check",
                "version": __version__,
                "rules": [_rule(code, rule) for code, rule in RULES.items()],
            }
        },
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The root of the repository."}}},
        "results": results,
    }
    return to_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, ascii_only=True)


def _rule(code: str, rule: Rule) -> Object:
    page = f"docs/rules.md#{code.lower()}-{rule.name}"
    return {
        "id": code,
        # As the standard has names: one word of several, each with a capital.
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} See {page}.", "markdown": f"{rule.why} See `{page}`."},
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"waivable": rule.waivable},
    }


def _result(item: Finding, position: int, fingerprint: str) -> Object:
    place: Object = {"artifactLocation": _location(item.path)}
    if item.line is not None:
        place["region"] = {"startLine": item.line}
    result: Object = {
        "ruleId": item.code,
        "ruleIndex": position,
        "level": item.severity,
        "message": {"text": _text(f"{item.message}. {item.solution}")},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {_FINGERPRINT: fingerprint},
        "properties": {"flavor": item.flavor},
    }
    if item.waiver is not None:
        result["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": f"{item.waiver.reason} (until {item.waiver.expires})",
            }
        ]
    return result


def _text(message: str) -> str:
    """A message in which no reader finds a link: ``[text](address)`` is one in plain text too (3.11.6)."""
    return message.replace("](", "] (")


def _location(path: str) -> Object:
    """A file, under the root of the repository unless its flavor is elsewhere."""
    whole = PurePath(path)
    if whole.is_absolute():
        return {"uri": whole.as_uri()}
    return {"uri": quote(path), "uriBaseId": "%SRCROOT%"}


def _key(item: Finding) -> str:
    """What a finding is, wherever in its file it stands."""
    return "\0".join((item.code, item.path, _LINE_NUMBER.sub("line", item.message)))


def _fingerprint(key: str, earlier: int) -> str:
    """The same for the same finding after lines have moved; the second of two equal ones has its own."""
    return hashlib.sha256(f"{key}\0{earlier}".encode()).hexdigest()
