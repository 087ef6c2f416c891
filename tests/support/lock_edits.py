"""A table of edits of a lock, for a lock of the packages of `support.clean_flavor`.

``FORMS`` say the same to the factory in another form; ``MEANINGS`` say something else.
"""

from collections.abc import Callable

from support.locks import CONTENTS

EVIL = "e" * 64
PIN = f"evil==1 \\\n    --hash=sha256:{EVIL}\n"
Edit = Callable[[str], str]


def _first(text: str) -> str:
    """The first digest of a lock."""
    return text.partition("--hash=sha256:")[2][:64]


def _index(text: str) -> str:
    """The URL of the index that a lock names."""
    return text.partition("--index-url ")[2].partition("\n")[0]


def lock_entry(text: str, name: str) -> str:
    """The lines of one package."""
    lines = text.splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name}=="))
    stop = next(
        (number for number in range(start + 1, len(lines)) if not lines[number].startswith("    ")),
        len(lines),
    )
    return "".join(lines[start:stop])


def after_index(added: str) -> Edit:
    def edit(text: str) -> str:
        line = f"--index-url {_index(text)}\n"
        return text.replace(line, line + added)

    return edit


FORMS: dict[str, Edit] = {
    "a hash in a comment behind a hash": lambda text: text.replace(
        f"--hash=sha256:{_first(text)}", f"--hash=sha256:{_first(text)}  # --hash=sha256:{EVIL}"
    ),
    "a hash in a comment behind a version": after_index(f"evil==1  # --hash=sha256:{EVIL}\n"),
    "a pin above the contents": lambda text: text.replace(CONTENTS, f"{PIN}{CONTENTS}"),
    "an option above the contents": lambda text: text.replace(
        CONTENTS, f"--trusted-host files.example.com\n{CONTENTS}"
    ),
    "a pin behind a vertical tab of the head": lambda text: text.replace(
        "# platforms:", f"# platforms: \x0b{PIN}# platforms:"
    ),
    "line endings of Windows": lambda text: text.replace("\n", "\r\n"),
    "one carriage return": lambda text: text.replace("\n", "\r\n", 1),
    "a carriage return alone": after_index("# a comment\revil==1\n"),
    "a vertical tab": after_index("# a comment\x0bevil==1\n"),
    "a line separator": after_index("# a comment\u2028evil==1\n"),
    "a byte-order mark": lambda text: f"\ufeff{text}",
    "a second option": after_index("--require-hashes\n"),
    "a hash in capitals": lambda text: text.replace(_first(text), _first(text).upper()),
    "an extra": lambda text: text.replace("numpy==", "numpy[evil]=="),
    "a comment that goes on": after_index(f"# a comment \\\n{PIN}"),
    "a variable": after_index("${EVIL}\n"),
    "a tab before a hash": lambda text: text.replace("    --hash", "\t--hash", 1),
    "a blank at the end of a line": lambda text: text.replace(f"{_first(text)} ", f"{_first(text)}  ", 1),
    "no line feed at the end": lambda text: text.removesuffix("\n"),
    "an empty line": after_index("\n"),
    "a blank for the equals sign of a hash": lambda text: text.replace("--hash=", "--hash ", 1),
    "a name in capitals": lambda text: text.replace("numpy==", "NumPy=="),
    "an underscore in a name": lambda text: text.replace("training-hub==", "training_hub=="),
    "blanks around the operator": lambda text: text.replace("numpy==", "numpy == "),
    "a hash twice": lambda text: text.replace(
        f"--hash=sha256:{_first(text)}", f"--hash=sha256:{_first(text)} --hash=sha256:{_first(text)}", 1
    ),
    "a hash of nobody's file": lambda text: text.replace(" \\\n", f" \\\n    --hash=sha256:{EVIL} \\\n", 1),
    "pins in another order": lambda text: (
        text.replace(lock_entry(text, "numpy"), "") + lock_entry(text, "numpy")
    ),
    "a comment of a person": lambda text: f"{text}# numpy is fine\n",
}
# What another line says, in any form.
MEANINGS: dict[str, Edit] = {
    "three equals signs": lambda text: text.replace("numpy==", "numpy==="),
    "a range": lambda text: text.replace("numpy==", "numpy>="),
    "any patch": lambda text: text.replace("numpy==2.4.1", "numpy==2.4.*"),
    "no version": lambda text: text.replace("numpy==2.4.1", "numpy"),
    "a marker": lambda text: text.replace("numpy==2.4.1", "numpy==2.4.1 ; sys_platform == 'linux'"),
    "a package twice": lambda text: text + lock_entry(text, "numpy"),
    "a package more": lambda text: f"{text}{PIN}",
    "another version": lambda text: text.replace("numpy==2.4.1", "numpy==2.4.2"),
    "a dependency of the project less": lambda text: text.replace(lock_entry(text, "numpy"), ""),
    "no hash": lambda text: text.replace(lock_entry(text, "numpy"), "numpy==2.4.1\n"),
    "a hash of MD5": lambda text: text.replace(f"sha256:{_first(text)}", f"md5:{_first(text)[:32]}"),
    "a hash of SHA-512": lambda text: text.replace(f"sha256:{_first(text)}", f"sha512:{_first(text) * 2}"),
    "a hash that is too short": lambda text: text.replace(_first(text), _first(text)[:40]),
    "a path": lambda text: f"{text}./evil-1-py3-none-any.whl\n",
    "an address": lambda text: f"{text}evil @ https://files.example.com/evil-1-py3-none-any.whl\n",
    "a repository of git": lambda text: f"{text}git+https://git.example.com/evil.git\n",
    "an editable folder": lambda text: f"{text}-e .\n",
    "a second index": lambda text: f"{text}--extra-index-url https://evil.example.com/simple/\n",
    "another index": lambda text: text.replace(_index(text), "https://evil.example.com/simple/"),
    "another index later": lambda text: f"{text}-i https://evil.example.com/simple/\n",
    "no index": lambda text: text.replace(f"--index-url {_index(text)}\n", ""),
    "the index without its last slash": lambda text: text.replace(
        _index(text), _index(text).removesuffix("/")
    ),
    "a folder of wheels": lambda text: f"{text}--find-links /tmp/wheels\n",
    "another file of requirements": lambda text: f"{text}-r more.txt\n",
    "a file of constraints": lambda text: f"{text}-c more.txt\n",
    "a trusted host": lambda text: f"{text}--trusted-host evil.example.com\n",
    "source distributions": lambda text: f"{text}--no-binary :all:\n",
    "versions before a release": lambda text: f"{text}--pre\n",
}
