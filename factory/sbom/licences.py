"""Read the licences that a package's core metadata declares: an SPDX expression each, or a name.

License-Expression (PEP 639) is the one field in SPDX's terms; the others count only without it. A License
field, or a Trove classifier, that happens to be an expression or that means exactly one licence becomes that
expression. Everything else is the name that the package gives its licence, which is no SPDX identifier, and
nothing is guessed from it. If a License field and the classifiers disagree, all of them are listed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.metadata import parse_email

_MOST_NAME_CHARACTERS = 120
# What build tools write if nobody said anything.
_NOTHING = frozenset({"", "unknown", "none", "n/a"})
_PREFIX = "License :: "
_WORD = re.compile(r"(?:[^\W_]|\.(?=\w))+\+?")
# Words that distinguish no licence from another.
_FILLING = frozenset({"the", "license", "licence", "software", "other"})
# What SPDX calls a family of licences, if the classifier's name does not have it.
_FAMILIES = {"Python Software Foundation License": "PSF", "Zope Public License": "ZPL"}
_OSI = "OSI Approved"
# The classifiers that mean one licence in one version. "BSD License" and "Apache Software License" mean
# several each, and are names.
_CLASSIFIED = {
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CMU License (MIT-CMU)": "MIT-CMU",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "University of Illinois/NCSA Open Source License": "NCSA",
    "Zero-Clause BSD (0BSD)": "0BSD",
}


@dataclass(frozen=True, kw_only=True, order=True)
class Licence:
    """A declared licence: an SPDX expression, in SPDX's own spelling, or else a name."""

    text: str
    is_expression: bool


def declared_licences(metadata: bytes) -> tuple[Licence, ...]:
    """Return what core metadata (METADATA of a wheel) declares; empty if it declares nothing.

    Several say nothing about how they combine. Of a License field and a classifier, one is left out only if
    the other says all that it says.
    """
    fields, _ = parse_email(metadata)
    if expression := fields.get("license_expression", "").strip():
        return (_licence(expression),)
    classifiers = dict.fromkeys(filter(None, map(_classified_name, fields.get("classifiers", []))))
    text = fields.get("license", "").strip()
    if text.lower() in _NOTHING:
        return _unique(map(_of_classifier, classifiers))
    named = _licence(text)
    others = [name for name in classifiers if not _is_covered(name, named)]
    if not named.is_expression and any(_is_spelling(named.text, name) for name in others):
        return _unique(map(_of_classifier, others))
    return _unique((named, *map(_of_classifier, others)))


def _unique(licences: Iterable[Licence]) -> tuple[Licence, ...]:
    return tuple(dict.fromkeys(licences))


def _is_covered(name: str, by: Licence) -> bool:
    """Return whether a License field covers a classifier: its one licence, or its group and perhaps more."""
    identifier = _CLASSIFIED.get(name)
    if identifier is not None:
        return by.is_expression and identifier in re.split(r"[\s()]+", by.text)
    return any(words <= _words(by.text) for words in _spellings(name))


def _is_spelling(text: str, name: str) -> bool:
    """Return whether a text is another way to write a classifier's one licence, and no word more."""
    return name in _CLASSIFIED and _words(text) in (*_spellings(name), _words(_CLASSIFIED[name]))


def _spellings(name: str) -> tuple[frozenset[str], ...]:
    """Return a classifier's name in words: whole, without its brackets, those in them, and SPDX's family."""
    before, _, bracketed = name.partition("(")
    return tuple(filter(None, map(_words, (name, before, bracketed, _FAMILIES.get(name, "")))))


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold())) - _FILLING


def _licence(text: str) -> Licence:
    """Return a text as an expression if valid, else its first non-empty line as a name."""
    try:
        return Licence(text=str(canonicalize_license_expression(text)), is_expression=True)
    except InvalidLicenseExpression:
        lines = (" ".join(line.split()) for line in text.splitlines())
        line = next(filter(_WORD.search, lines), "") or " ".join(text.split())
        return Licence(text=line[:_MOST_NAME_CHARACTERS].rstrip(), is_expression=False)


def _classified_name(classifier: str) -> str | None:
    """Return what a Trove classifier calls a licence; None for other kinds, and for "approved" alone."""
    name = classifier.rpartition(" :: ")[2]
    return name if classifier.startswith(_PREFIX) and name != _OSI else None


def _of_classifier(name: str) -> Licence:
    identifier = _CLASSIFIED.get(name)
    return Licence(text=identifier or name, is_expression=bool(identifier))
