"""Fail where a test was skipped, or where none of a kind ran: `no_skips.py JUNIT_XML...`."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

# Folders whose tests need what a machine may not have; a report without them proves too little.
NEEDED = ("image", "container", "tekton")


def main() -> int:
    cases = [case for report in sys.argv[1:] for case in ET.parse(Path(report)).getroot().iter("testcase")]
    skipped = [
        f"{case.get('classname')}::{case.get('name')}" for case in cases if case.find("skipped") is not None
    ]
    ran = {
        folder: sum((case.get("classname") or "").startswith(f"tests.{folder}.") for case in cases)
        for folder in NEEDED
    }
    for name in skipped:
        print(f"skipped: {name}", file=sys.stderr)
    for folder in NEEDED:
        if not ran[folder]:
            print(f"no test of tests/{folder} ran", file=sys.stderr)
    of_them = ", ".join(f"{ran[folder]} of tests/{folder}" for folder in NEEDED)
    print(f"{len(cases)} tests, {of_them}, {len(skipped)} skipped")
    return 1 if skipped or not all(ran.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
