"""The status as a self-contained HTML page."""

import datetime as dt
from pathlib import Path

from factory.html import render_page
from factory.status.status import (
    RepositoryStatus,
    age_text,
    built_word,
    lock_word,
    pushed_words,
    rendering_word,
    size_text,
    tested_word,
)

_TEMPLATE = "status.html.j2"


def status_page(status: RepositoryStatus, *, now: dt.datetime) -> str:
    """Return a page with every image below its parent, the registries, and the problems."""
    rows = [
        {
            "image": image,
            "lock": lock_word(image),
            "folder": rendering_word(image),
            "built": built_word(image),
            "tested": tested_word(image),
            "pushed": pushed_words(image),
            "size": size_text(image),
            "age": age_text(image, now),
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
            "problems": [image for image in status.images if image.problem],
        },
    )
