"""Each cell of the overview in one or two words, with how it is to be taken."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from factory.clock import parse_moment
from factory.console import human_size
from factory.html import age
from factory.status.standing import ImageStanding, Overview

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


def lock_word(image: ImageStanding) -> Word:
    """Whether a flavor is locked."""
    tones: dict[str, Tone] = {"locked": "good", "stale": "warn", "broken": "bad"}
    return Word(text=image.lock or NOTHING, tone=tones.get(image.lock, "calm"))


def rendering_word(image: ImageStanding) -> Word:
    """Whether a flavor's folder is as its templates give it."""
    tones: dict[str, Tone] = {"rendered": "good", "drifted": "warn", "broken": "bad"}
    return Word(text=image.rendering or NOTHING, tone=tones.get(image.rendering, "calm"))


def built_word(image: ImageStanding) -> Word:
    """Whether the engine has the image as it would be built now."""
    if image.built is None:
        return Word(text="no")
    if image.built.current:
        return Word(text="current", tone="good", more=image.built.reference)
    return Word(text="older", tone="warn", more=f"{image.built.reference} is of other inputs")


def tested_word(image: ImageStanding) -> Word:
    """What the last tests said, and whether of the image as it is now."""
    tested = image.tested
    if tested is None:
        return Word(text="no")
    said = f"{tested.level} {'passed' if tested.passed else 'failed'}"
    when = f"on {tested.started}"
    if not tested.current:
        return Word(text=f"{said}, older", tone="warn", more=f"{when}, an image of other inputs")
    return Word(text=said, tone="good" if tested.passed else "bad", more=when)


def pushed_words(image: ImageStanding) -> tuple[Word, ...]:
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


def size_text(image: ImageStanding) -> str:
    """The size for people."""
    return NOTHING if image.size is None else human_size(image.size)


def age_text(image: ImageStanding, now: dt.datetime) -> str:
    """How long ago it was made; an image with a fixed time has that of what went into it."""
    moment = _moment(image.created)
    return NOTHING if moment is None or moment.year <= _NO_YEAR else age(moment, now=now)


def summary(overview: Overview) -> dict[str, int]:
    """How many images are in which state, for the head of the page and the last line of the table."""
    images = overview.images
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
