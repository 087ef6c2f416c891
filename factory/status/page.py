"""The status as a self-contained HTML page."""

import datetime as dt
from pathlib import Path

from factory.html import render_page
from factory.status.status import RepositoryStatus
from factory.status.text import (
    age_text,
    built_word,
    lock_word,
    pushed_words,
    rendering_word,
    size_text,
    summary,
    tested_word,
)

_TEMPLATE = "status.html.j2"


def status_page(status: RepositoryStatus, *, now: dt.datetime) -> str:
    """Every image on one page, each below the one that it stands on, the registries, and what is wrong."""
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
    largest = max((image.size or 0 for image in status.images), default=0) or 1
    return render_page(
        Path(__file__).parent,
        _TEMPLATE,
        {
            "status": status,
            "rows": rows,
            "summary": summary(status),
            "largest": largest,
            "now": now.strftime("%Y-%m-%d %H:%M UTC"),
            "problems": [image for image in status.images if image.problem],
        },
    )
