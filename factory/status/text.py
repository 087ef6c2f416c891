"""The status as a table for a terminal."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from factory.clock import parse_moment
from factory.console import Table, human_size
from factory.html import age
from factory.status.status import ImageStatus, RepositoryStatus

Tone = Literal["good", "warn", "bad", "calm"]
NOTHING = "—"
# Go writes nanoseconds; Python reads microseconds.
_FRACTION_DIGITS = 6
# 1970 and 1980, the first that clocks and zip archives know, are how reproducible builds say no time at all.
_NO_YEAR = 1980


@dataclass(frozen=True, kw_only=True)
class Word:
    """A state: what is said, how it is meant, and more for whoever wants to know."""

    text: str
    tone: Tone = "calm"
    more: str = ""


def lock_word(image: ImageStatus) -> Word:
    """Whether a flavor is locked."""
    tones: dict[str, Tone] = {"locked": "good", "stale": "warn", "broken": "bad"}
    return Word(text=image.lock or NOTHING, tone=tones.get(image.lock, "calm"))


def rendering_word(image: ImageStatus) -> Word:
    """Whether a flavor's folder is as its templates give it."""
    tones: dict[str, Tone] = {"rendered": "good", "drifted": "warn", "broken": "bad"}
    return Word(text=image.rendering or NOTHING, tone=tones.get(image.rendering, "calm"))


def built_word(image: ImageStatus) -> Word:
    """Whether the engine has the image as it would be built now."""
    if image.built is None:
        return Word(text="no")
    if image.built.current:
        return Word(text="current", tone="good", more=image.built.reference)
    return Word(text="older", tone="warn", more=f"{image.built.reference} is of other inputs")


def tested_word(image: ImageStatus) -> Word:
    """What the last tests said, and whether of the image as it is now."""
    tested = image.tested
    if tested is None:
        return Word(text="no")
    said = f"{tested.level} {'passed' if tested.passed else 'failed'}"
    when = f"on {tested.started}"
    if not tested.current:
        return Word(text=f"{said}, older", tone="warn", more=f"{when}, an image of other inputs")
    return Word(text=said, tone="good" if tested.passed else "bad", more=when)


def pushed_words(image: ImageStatus) -> tuple[Word, ...]:
    """Where it was pushed to; one that says no where it is nowhere."""
    words = tuple(
        Word(
            text=one.registry if one.current else f"{one.registry}, older",
            tone="good" if one.current else "warn",
            more=one.reference,
        )
        for one in image.pushed
    )
    return words or (Word(text="no"),)


def size_text(image: ImageStatus) -> str:
    """The size for people."""
    return NOTHING if image.size is None else human_size(image.size)


def age_text(image: ImageStatus, now: dt.datetime) -> str:
    """How long ago it was made; an image with a fixed time has that of what went into it."""
    moment = _moment(image.created)
    return NOTHING if moment is None or moment.year <= _NO_YEAR else age(moment, now=now)


def summary(status: RepositoryStatus) -> dict[str, int]:
    """How many images are in which state, for the head of the page and the last line of the table."""
    images = status.images
    return {
        "images": len(images),
        "built": sum(image.built is not None and image.built.current for image in images),
        "tested": sum(
            image.tested is not None and image.tested.current and image.tested.passed for image in images
        ),
        "pushed": sum(any(one.current for one in image.pushed) for image in images),
        "to mend": sum(
            bool(image.problem)
            or image.lock in {"stale", "broken"}
            or image.rendering in {"drifted", "broken"}
            or (image.tested is not None and image.tested.current and not image.tested.passed)
            for image in images
        ),
    }


def _moment(text: str | None) -> dt.datetime | None:
    if not text:
        return None
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :]
    return parse_moment(f"{whole}{dot}{digits[:_FRACTION_DIGITS]}{zone}")


_HEADINGS = ("IMAGE", "KIND", "LOCK", "FOLDER", "BUILT", "TESTED", "PUSHED", "SIZE", "AGE", "PARENTS")


def status_parts(status: RepositoryStatus, *, now: dt.datetime) -> tuple[str | Table, ...]:
    """The table, what is wrong, and a line that counts."""
    if not status.images:
        return ("no images yet: make a flavor with `factory new-flavor`",)
    table = Table(
        headings=_HEADINGS,
        rows=tuple(_row(image, now) for image in status.images),
        right_aligned=frozenset({"SIZE"}),
    )
    problems = [f"{image.name}: {image.problem}" for image in status.images if image.problem]
    problems += [f"{one.name} ({one.url}): {one.problem}" for one in status.registries if one.problem]
    counts = summary(status)
    noun = "image" if counts["images"] == 1 else "images"
    last = (
        f"{counts['images']} {noun}: {counts['built']} built, {counts['tested']} tested, "
        f"{counts['pushed']} pushed as they are now; {counts['to mend']} to mend"
    )
    return (table, "", *problems, last)


def _row(image: ImageStatus, now: dt.datetime) -> tuple[str, ...]:
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
