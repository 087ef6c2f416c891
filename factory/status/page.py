"""The overview as a self-contained HTML page."""

import datetime as dt
from pathlib import Path

from factory.html import render_page
from factory.status.standing import Overview
from factory.status.words import (
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


def status_page(overview: Overview, *, now: dt.datetime) -> str:
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
        for image in overview.images
    ]
    largest = max((image.size or 0 for image in overview.images), default=0) or 1
    return render_page(
        Path(__file__).parent,
        _TEMPLATE,
        {
            "overview": overview,
            "rows": rows,
            "summary": summary(overview),
            "largest": largest,
            "now": now.strftime("%Y-%m-%d %H:%M UTC"),
            "problems": [image for image in overview.images if image.problem],
        },
    )
