"""The overview as a table for a terminal."""

import datetime as dt

from factory.console import Table
from factory.status.standing import ImageStanding, Overview
from factory.status.words import (
    NOTHING,
    age_text,
    built_word,
    lock_word,
    pushed_words,
    rendering_word,
    size_text,
    summary,
    tested_word,
)

_HEADINGS = ("IMAGE", "KIND", "LOCK", "FOLDER", "BUILT", "TESTED", "PUSHED", "SIZE", "AGE", "PARENTS")


def overview_parts(overview: Overview, *, now: dt.datetime) -> tuple[str | Table, ...]:
    """The table, what is wrong, and a line that counts."""
    if not overview.images:
        return ("no images yet: make a flavor with `factory new-flavor`",)
    table = Table(
        headings=_HEADINGS,
        rows=tuple(_row(image, now) for image in overview.images),
        right_aligned=frozenset({"SIZE"}),
    )
    problems = [f"{image.name}: {image.problem}" for image in overview.images if image.problem]
    problems += [f"{one.name} ({one.url}): {one.problem}" for one in overview.registries if one.problem]
    counts = summary(overview)
    noun = "image" if counts["images"] == 1 else "images"
    last = (
        f"{counts['images']} {noun}: {counts['built']} built, {counts['tested']} tested, "
        f"{counts['pushed']} pushed as they are now; {counts['to mend']} to mend"
    )
    return (table, "", *problems, last)


def _row(image: ImageStanding, now: dt.datetime) -> tuple[str, ...]:
    return (
        f"{'  ' * image.depth}{image.name}",
        image.kind,
        lock_word(image).text,
        rendering_word(image).text,
        built_word(image).text,
        tested_word(image).text,
        ", ".join(word.text for word in pushed_words(image)),
        size_text(image),
        age_text(image, now),
        ", ".join(image.parents) or NOTHING,
    )
