"""Make the pages a site: ``site.py [FOLDER]``, by default .work/site/html.

The pages are those of the repository, in their places, so that a link between two of them is one on the site
too. The reference of the commands is generated. Any warning, such as a dead link, fails.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from command_reference import reference

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".work" / "site"
# What the site is made of: pages, and the files that they link to.
FOLDERS = ("docs", "tekton")
FURTHER = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")


def main(folder: Path) -> int:
    """Lay out the pages and have mkdocs make the site; return its exit status."""
    lay_out(WORK / "pages")
    environment = {
        **os.environ,
        "NO_MKDOCS_2_WARNING": "true",  # an advertisement of the theme's makers
    }
    words = (
        "build",
        "--strict",
        "--clean",
        "--quiet",
        "--config-file",
        ROOT / "mkdocs.yml",
        "--site-dir",
        folder,
    )
    done = subprocess.run([sys.executable, "-m", "mkdocs", *words], env=environment, check=False)
    if done.returncode == 0:
        print(f"{len(list(folder.rglob('*.html')))} pages: {folder / 'index.html'}")
    return done.returncode


def lay_out(pages: Path) -> None:
    """Copy the pages into an empty folder, and write the generated one."""
    shutil.rmtree(pages, ignore_errors=True)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, pages / folder)
    for name in FURTHER:
        shutil.copy2(ROOT / name, pages / name)
    (pages / "docs" / "commands.md").write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else WORK / "html"))
