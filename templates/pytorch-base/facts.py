"""Tell what a compiled wheel has to fit, or compare it: the minor version of Python, and the C library.

    facts.py                    print the facts of where this runs, as JSON
    facts.py --against FILE     end with 1 where a wheel that is built here would not load there
"""

import json
import os
import platform
import sys


def facts():
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    return {
        "python": "%d.%d" % sys.version_info[:2],
        "machine": platform.machine(),
        "libc": name,
        "libc_version": version,
    }


def differences(here, there):
    """Return, in words, what of the compiling image does not fit the running image."""
    for key in ("python", "machine", "libc"):
        if here[key] != there[key]:
            yield "%s is %s in DEVEL_IMAGE and %s in BASE_IMAGE" % (key, here[key], there[key])
    if number(here["libc_version"]) > number(there["libc_version"]):
        yield "DEVEL_IMAGE has glibc %s, which is newer than BASE_IMAGE's %s: what it compiles does not load there" % (
            here["libc_version"],
            there["libc_version"],
        )


def number(version):
    return [int(part) for part in version.split(".") if part.isdigit()]


def main():
    if sys.argv[1:2] != ["--against"]:
        print(json.dumps(facts(), sort_keys=True))
        return 0
    with open(sys.argv[2], encoding="utf-8") as file:
        found = list(differences(facts(), json.load(file)))
    for line in found:
        print("error: " + line, file=sys.stderr)
    if found:
        print("  what to do: give a DEVEL_IMAGE and a BASE_IMAGE of the same distribution", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
