"""Fail where a test was skipped, or where no container test ran: `no_skips.py JUNIT_XML`."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET


def main() -> int:
    cases = list(ET.parse(Path(sys.argv[1])).getroot().iter("testcase"))
    skipped = [
        f"{case.get('classname')}::{case.get('name')}" for case in cases if case.find("skipped") is not None
    ]
    container = [case for case in cases if (case.get("classname") or "").startswith("tests.container.")]
    for name in skipped:
        print(f"skipped: {name}", file=sys.stderr)
    if not container:
        print("no container test ran", file=sys.stderr)
    print(f"{len(cases)} tests, {len(container)} of them in containers, {len(skipped)} skipped")
    return 1 if skipped or not container else 0


if __name__ == "__main__":
    sys.exit(main())
