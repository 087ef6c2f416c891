"""What a package's metadata declares as its licence: an SPDX expression, or the name that it uses."""

import pytest
from support.wheels import metadata

from factory.sbom.licences import Licence, declared_licences

MIT_CLASSIFIER = "Classifier: License :: OSI Approved :: MIT License"
BSD_CLASSIFIER = "Classifier: License :: OSI Approved :: BSD License"
GPL_CLASSIFIER = "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)"
GPL2_CLASSIFIER = "Classifier: License :: OSI Approved :: GNU General Public License v2 (GPLv2)"
APACHE_CLASSIFIER = "Classifier: License :: OSI Approved :: Apache Software License"
WHOLE_TEXT = "License: \n        Copyright (c) 2020 Somebody\n        \n        Permission is hereby granted"


def _declared(*lines: str) -> tuple[Licence, ...]:
    return declared_licences(metadata("some-lib", "1.0") + "".join(f"{line}\n" for line in lines).encode())


def _spdx(text: str) -> Licence:
    return Licence(text=text, is_expression=True)


def _name(text: str) -> Licence:
    return Licence(text=text, is_expression=False)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], ()),
        (["License-Expression: MIT"], (_spdx("MIT"),)),
        (["License-Expression: mit OR apache-2.0"], (_spdx("MIT OR Apache-2.0"),)),
        (["License-Expression: LicenseRef-Ours"], (_spdx("LicenseRef-Ours"),)),
        (["License-Expression: Apache-2.0 WITH LLVM-exception"], (_spdx("Apache-2.0 WITH LLVM-exception"),)),
        # What says that it is an expression, and is none, is still only a name.
        (["License-Expression: Apache 2"], (_name("Apache 2"),)),
        # The expression goes before all others, whatever they say.
        (["License-Expression: ISC", "License: MIT", GPL_CLASSIFIER], (_spdx("ISC"),)),
        (["License: MIT"], (_spdx("MIT"),)),
        (["License: MIT", MIT_CLASSIFIER], (_spdx("MIT"),)),
        (["License: BSD-3-Clause", BSD_CLASSIFIER], (_spdx("BSD-3-Clause"),)),
        (["License: Apache 2.0"], (_name("Apache 2.0"),)),
        (["License: BSD"], (_name("BSD"),)),
        (["License: UNKNOWN"], ()),
        (["License: UNKNOWN", MIT_CLASSIFIER], (_spdx("MIT"),)),
        (["License:"], ()),
        # A classifier that stands for one licence says more than a name, and a name more than a group.
        (["License: MIT License", MIT_CLASSIFIER], (_spdx("MIT"),)),
        (["License: 3-Clause BSD License", BSD_CLASSIFIER], (_name("3-Clause BSD License"),)),
        ([MIT_CLASSIFIER], (_spdx("MIT"),)),
        ([BSD_CLASSIFIER], (_name("BSD License"),)),
        ([GPL_CLASSIFIER], (_spdx("GPL-3.0-only"),)),
        ([MIT_CLASSIFIER, BSD_CLASSIFIER, MIT_CLASSIFIER], (_spdx("MIT"), _name("BSD License"))),
        (["Classifier: License :: OSI Approved"], ()),
        (["Classifier: License :: Other/Proprietary License"], (_name("Other/Proprietary License"),)),
        (["Classifier: Programming Language :: Python"], ()),
        # What else it is called is no second licence.
        (["License: The MIT License (MIT)", MIT_CLASSIFIER], (_spdx("MIT"),)),
        (["License: GPLv3", GPL_CLASSIFIER], (_spdx("GPL-3.0-only"),)),
        (["License: Apache 2.0", APACHE_CLASSIFIER], (_name("Apache 2.0"),)),
        (["License: MIT OR Apache-2.0", MIT_CLASSIFIER, APACHE_CLASSIFIER], (_spdx("MIT OR Apache-2.0"),)),
        (
            ["License: PSF-2.0", "Classifier: License :: OSI Approved :: Python Software Foundation License"],
            (_spdx("PSF-2.0"),),
        ),
        (
            ["License: LicenseRef-Our-Proprietary", "Classifier: License :: Other/Proprietary License"],
            (_spdx("LicenseRef-Our-Proprietary"),),
        ),
        # Where the two contradict each other, or one says more, both are told.
        (["License: Proprietary", MIT_CLASSIFIER], (_name("Proprietary"), _spdx("MIT"))),
        (["License: BSD-3-Clause", GPL_CLASSIFIER], (_spdx("BSD-3-Clause"), _spdx("GPL-3.0-only"))),
        (["License: Apache-2.0", MIT_CLASSIFIER], (_spdx("Apache-2.0"), _spdx("MIT"))),
        (["License: MIT License", BSD_CLASSIFIER], (_name("MIT License"), _name("BSD License"))),
        (["License: MIT, not BSD", MIT_CLASSIFIER], (_name("MIT, not BSD"), _spdx("MIT"))),
        (
            ["License: GPLv2 or later / commercial", GPL2_CLASSIFIER],
            (_name("GPLv2 or later / commercial"), _spdx("GPL-2.0-only")),
        ),
        (["License: GPLv2+", GPL2_CLASSIFIER], (_name("GPLv2+"), _spdx("GPL-2.0-only"))),
        (
            ["License: GPL-2.0-or-later", GPL2_CLASSIFIER],
            (_spdx("GPL-2.0-or-later"), _spdx("GPL-2.0-only")),
        ),
        (
            ["License: Dual License", APACHE_CLASSIFIER, BSD_CLASSIFIER],
            (_name("Dual License"), _name("Apache Software License"), _name("BSD License")),
        ),
        (["License: MIT License", MIT_CLASSIFIER, BSD_CLASSIFIER], (_spdx("MIT"), _name("BSD License"))),
        # Of a whole text the first line that says anything stands for it.
        ([WHOLE_TEXT, BSD_CLASSIFIER], (_name("Copyright (c) 2020 Somebody"), _name("BSD License"))),
        ([WHOLE_TEXT], (_name("Copyright (c) 2020 Somebody"),)),
        (["License: =====", "        Our terms", "        ====="], (_name("Our terms"),)),
        (["License: ?"], (_name("?"),)),
        (["License: " + "word " * 100], (_name(("word " * 24).strip()),)),
        # What an import would run is a text like any other.
        (["License: __import__('os').system('true')"], (_name("__import__('os').system('true')"),)),
    ],
)
def test_what_is_declared_is_told_as_what_it_is(lines: list[str], found: tuple[Licence, ...]) -> None:
    assert _declared(*lines) == found


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\n\nLicense: MIT\n", b"License\n"])
def test_metadata_that_declares_nothing_or_is_none_gives_none(content: bytes) -> None:
    assert declared_licences(content) == ()


def test_a_description_is_not_read_for_licences() -> None:
    assert _declared("", "License: MIT") == ()


def test_letters_beyond_ascii_are_kept() -> None:
    assert _declared("License: Licença Pública") == (_name("Licença Pública"),)
