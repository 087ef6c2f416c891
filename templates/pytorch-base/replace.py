"""Remove from an environment the distributions that are about to be copied over it: replace.py NEW

What is copied removes nothing, so a parent's files of another version would stay, and its description (.dist-info)
beside the new one. Run with the Python of the environment; NEW is laid out as that.
"""

import os
import pathlib
import re
import shutil
import sys
import sysconfig
from importlib.metadata import distributions

PACKAGES = pathlib.Path(sysconfig.get_path("purelib"))


def named(folder):
    """Return the distributions of a folder by their normalized names (PEP 503); skip those without one."""
    found = {}
    for one in distributions(path=[str(folder)]):
        if one.metadata["Name"]:
            found.setdefault(re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(), []).append(one)
    return found


def remove(files):
    """Remove the files of a RECORD, their byte code, the .dist-info folder, and folders that are empty then."""
    for path in (path for path in files if path.is_symlink() or path.is_file()):
        path.unlink()
        if path.suffix == ".py":
            for compiled in (path.parent / "__pycache__").glob(path.stem + ".*.pyc"):
                compiled.unlink()
    for folder in {path.parent for path in files if path.parent.suffix in (".dist-info", ".egg-info")}:
        shutil.rmtree(folder, ignore_errors=True)
    folders = {folder for path in files for folder in (path.parent / "__pycache__", *path.parents)}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        if PACKAGES in folder.parents and folder.is_dir() and not os.listdir(folder):
            folder.rmdir()


def main():
    new = named(pathlib.Path(sys.argv[1]) / PACKAGES.relative_to(sys.prefix))
    there = [(name, one) for name, found in named(PACKAGES).items() if name in new for one in found]
    for name, one in there:
        if not one.files:
            print("error: the parent's %s has no RECORD, so its files are not known" % name, file=sys.stderr)
            print("  what to do: take a parent that has it from a wheel, or not at all", file=sys.stderr)
            return 1
        print("%s %s takes the place of the parent's %s" % (name, new[name][0].version, one.version))
    # All are read before one is removed, since two may share files.
    for files in [[pathlib.Path(os.path.normpath(one.locate_file(path))) for path in one.files] for _, one in there]:
        remove(files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
