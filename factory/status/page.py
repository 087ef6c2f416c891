"""The status as a self-contained HTML page."""

import datetime as dt
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from factory.html import render_page
from factory.status.status import (
    ImageStatus,
    RepositoryStatus,
    age_text,
    attention,
    built_word,
    lock_word,
    pushed_words,
    rendering_word,
    size_text,
    tested_ago,
    tested_word,
)

_TEMPLATE = "status.html.j2"


def status_page(
    status: RepositoryStatus, *, now: dt.datetime, root: Path = Path(), place: Path = Path()
) -> str:
    """Return a page with every image below its parent, the registries, and what needs attention.

    Args:
        status: The status.
        now: When that was.
        root: The repository's root, where the reports of tests are.
        place: The folder of the page, from which it links to them.
    """
    rows: list[dict[str, Any]] = [
        {
            "image": image,
            "lock": lock_word(image),
            "folder": rendering_word(image),
            "built": built_word(image),
            "tested": tested_word(image),
            "tested_ago": tested_ago(image, now),
            "report": _link(image, root, place),
            "pushed": pushed_words(image),
            "size": size_text(image),
            "age": age_text(image, now),
            "attention": attention(image) if image.needs_attention else (),
        }
        for image in status.images
    ]
    return render_page(
        Path(__file__).parent,
        _TEMPLATE,
        {
            "status": status,
            "rows": rows,
            "largest": max((image.size or 0 for image in status.images), default=0) or 1,
            "now": now.strftime("%Y-%m-%d %H:%M UTC"),
            "problems": [row for row in rows if row["image"].needs_attention],
        },
    )


def _link(image: ImageStatus, root: Path, place: Path) -> str:
    """Return the address of an image's test report; empty without one."""
    if image.tested is None or image.tested.report is None:
        return ""
    return quote(os.path.relpath(root / image.tested.report, place))
