"""Remove from an environment the distributions that are about to be copied over it: replace.py NEW

What is copied removes nothing, so a parent's files of another version would stay, and its description (.dist-info)
beside the new one. Run with the Python of the environment; NEW is laid out as that.
"""

import os
import pathlib
import re
import sys
import sysconfig
from importlib.metadata import distributions

PACKAGES = pathlib.Path(sysconfig.get_path("purelib"))


def named(folder):
    """The distributions of a folder, by their normalized names (PEP 503)."""
    found = distributions(path=[str(folder)])
    return {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one for one in found}


def remove(distribution):
    """Remove what its RECORD has, the byte code that came of it, and the folders that are empty then."""
    files = [pathlib.Path(os.path.normpath(distribution.locate_file(path))) for path in distribution.files]
    for path in files:
        path.unlink(missing_ok=True)
        if path.suffix == ".py":
            for compiled in (path.parent / "__pycache__").glob(path.stem + ".*.pyc"):
                compiled.unlink()
    folders = {folder for path in files for folder in (path.parent / "__pycache__", *path.parents)}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        if PACKAGES in folder.parents and folder.is_dir() and not os.listdir(folder):
            folder.rmdir()


def main():
    new = named(pathlib.Path(sys.argv[1]) / PACKAGES.relative_to(sys.prefix))
    there = {name: one for name, one in named(PACKAGES).items() if name in new}
    for name, one in there.items():
        if one.files is None:
            print("error: the parent's %s has no RECORD, so its files are not known" % name, file=sys.stderr)
            print("  what to do: take a parent that has it from a wheel, or not at all", file=sys.stderr)
            return 1
    for name, one in there.items():
        print("%s %s takes the place of the parent's %s" % (name, new[name].version, one.version))
        remove(one)
    return 0


if __name__ == "__main__":
    sys.exit(main())
