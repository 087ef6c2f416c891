"""Write the expected golden folders anew: `python tests/golden/refresh.py`, then read `git diff`.

A golden folder is reviewed, not trusted: tests/unit/test_templates.py states what must hold in it.
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.golden import CASES, GOLDEN, rendered


def main() -> None:
    """Replace each expected folder with what the templates give."""
    for case in CASES:
        folder = GOLDEN / case / "expected"
        shutil.rmtree(folder, ignore_errors=True)
        for name, (content, executable) in rendered(case).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o755 if executable else 0o644)


if __name__ == "__main__":
    main()
