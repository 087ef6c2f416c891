"""Run in an image: import every top-level module of packages, and print what fails and who uses MD5.

Modules share a process, so that torch is loaded once and not a hundred times. One that fails is tried again
in a process of its own, with nothing changed, and only that result counts. If a module ends or blocks its
process, the last import that the process had begun shows which.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import json
import os
import re
import select
import signal
import sys
import tempfile
import time
import traceback
from typing import Any

# Ten times what torch takes on a quiet machine: a busy machine must not fail a module.
SECONDS_EACH = 180.0
KEPT_CHARACTERS = 1500
DEEPEST = 2
SUFFIXES = sorted([*importlib.machinery.EXTENSION_SUFFIXES, ".py"], key=len, reverse=True)
TESTS = re.compile(r"(?:.*\.)?(?:tests?|test_\w+|examples?|docs?|benchmarks?|conftest|setup)")


def module_name(file: str) -> str | None:
    """Return the module name of a file; None if it is not a module."""
    for suffix in SUFFIXES:
        if file.endswith(suffix):
            stem = file[: -len(suffix)]
            # A library beside the modules, such as libfoo.so, is not one.
            return None if suffix == ".so" and stem.startswith("lib") else stem
    return None


def top_modules(paths: list[str]) -> list[str]:
    """Return the top-level modules of a package; below a namespace, the first level in it."""
    parts = [path.split("/") for path in paths if not path.startswith(("../", "/"))]
    packages = {
        "/".join(part[:-1]) for part in parts if len(part) > 1 and module_name(part[-1]) == "__init__"
    }
    found = set()
    for part in parts:
        name = module_name(part[-1])
        if name is None or not all(word.isidentifier() for word in [*part[:-1], name]):
            continue
        above = next((part[:n] for n in range(1, len(part)) if "/".join(part[:n]) in packages), None)
        words = above or [*part[:-1], name]
        # Without an __init__.py, a folder is a package only if it has modules itself.
        if above or len(words) <= DEEPEST:
            found.add(".".join(words))
    return sorted(word for word in found if not TESTS.fullmatch(word))


def modules_of(distribution: importlib.metadata.Distribution) -> list[str]:
    """Return modules from the package's RECORD, else from its top_level.txt."""
    files = [str(file) for file in distribution.files or []]
    if files:
        return top_modules(files)
    return sorted((distribution.read_text("top_level.txt") or "").split())


def watch_md5(users: list[dict[str, str]]) -> None:
    """Record who uses MD5 without ``usedforsecurity=False`` (hashlib)."""
    real_new, real_md5 = hashlib.new, hashlib.md5

    def note() -> None:
        frame = sys._getframe(2)  # noqa: SLF001 - who called is the question
        users.append({"file": frame.f_code.co_filename, "line": str(frame.f_lineno)})

    def md5(*words: Any, **options: Any) -> Any:
        if options.get("usedforsecurity", True):
            note()
        return real_md5(*words, **options)

    def new(name: str, *words: Any, **options: Any) -> Any:
        if str(name).lower() == "md5" and options.get("usedforsecurity", True):
            note()
        return real_new(name, *words, **options)

    hashlib.md5 = md5
    hashlib.new = new


def try_import(module: str) -> dict[str, Any]:
    """Import a module; whatever fails is the result."""
    start = time.monotonic()
    result: dict[str, Any] = {"module": module, "ok": True}
    try:
        importlib.import_module(module)
    except BaseException as error:  # also SystemExit: a module that ends the program does not import
        frames = traceback.extract_tb(error.__traceback__)
        where = next((frame for frame in reversed(frames) if "importlib" not in frame.filename), None)
        result.update(
            ok=False,
            kind=type(error).__name__,
            message=str(error)[:KEPT_CHARACTERS],
            missing=getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None,
            where=f"{where.filename}:{where.lineno}" if where else "",
        )
    result["seconds"] = round(time.monotonic() - start, 3)
    return result


class Worker:
    """A process that imports modules one by one; names go in, results come out."""

    def __init__(self, *, watching: bool) -> None:
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        take, self.give = os.pipe()
        self.result, tell = os.pipe()
        self.module = ""
        self.since = 0.0
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.give)
            os.close(self.result)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(self.output.fileno(), 1)
            os.dup2(self.output.fileno(), 2)
            serve(take, tell, watching=watching)
            os._exit(0)
        os.close(take)
        os.close(tell)

    def ask(self, module: str) -> None:
        self.module, self.since = module, time.monotonic()
        os.write(self.give, module.encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        """Return the result of the module, which may have ended the process."""
        text = b""
        while not text.endswith(b"\n"):
            part = os.read(self.result, 65536)
            if not part:
                return self.died("exit")
            text += part
        found: dict[str, Any] = json.loads(text)
        return found

    def died(self, why: str) -> dict[str, Any]:
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        self.output.seek(0)
        said = self.output.read().decode("utf-8", "replace")[-KEPT_CHARACTERS:]
        return {
            "module": self.module,
            "ok": False,
            "kind": why if why == "timeout" else "exit" if code >= 0 else "signal",
            "message": "" if why == "timeout" else str(abs(code)),
            "said": said,
            "seconds": round(time.monotonic() - self.since, 3),
        }

    def stop(self) -> None:
        os.close(self.give)
        os.close(self.result)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.output.close()


def serve(take: int, tell: int, *, watching: bool) -> None:
    users: list[dict[str, str]] = []
    if watching:
        watch_md5(users)
    with os.fdopen(take, encoding="utf-8") as asked:
        for line in asked:
            del users[:]
            result = try_import(line.strip())
            result["md5"] = list(users)
            os.write(tell, json.dumps(result).encode() + b"\n")


def import_all(modules: list[str], workers: int) -> list[dict[str, Any]]:
    """Import the modules in several processes; return the result of each.

    One process takes them from the front, where those are that load torch, and the others from the back.
    """
    results, left = [], list(modules)
    busy: list[Worker] = []
    idle: list[Worker] = []
    front: Worker | None = None
    while left or busy:
        while left and len(busy) < workers:
            worker = idle.pop() if idle else Worker(watching=True)
            front = worker if front is None or not front.pid else front
            worker.ask(left.pop(0 if worker is front else -1))
            busy.append(worker)
        ready, _, _ = select.select([worker.result for worker in busy], [], [], 1.0)
        for worker in list(busy):
            if worker.result in ready:
                results.append(worker.answer())
            elif time.monotonic() - worker.since > SECONDS_EACH:
                os.kill(worker.pid, signal.SIGKILL)
                results.append(worker.died("timeout"))
            else:
                continue
            busy.remove(worker)
            if worker.pid:
                idle.append(worker)
            else:
                worker.stop()
    for worker in idle:
        worker.stop()
    return results


def alone(module: str) -> dict[str, Any]:
    """Import a module in a process of its own."""
    worker = Worker(watching=False)
    worker.ask(module)
    ready, _, _ = select.select([worker.result], [], [], SECONDS_EACH)
    if ready:
        result = worker.answer()
    else:
        os.kill(worker.pid, signal.SIGKILL)
        result = worker.died("timeout")
    worker.stop()
    return result


def package_key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needing(requirements: dict[str, set[str]], wanted: str) -> set[str]:
    """Return the packages that require one, directly or through others, and itself."""
    found, size = {wanted}, 0
    while size != len(found):
        size = len(found)
        found |= {name for name, needs in requirements.items() if needs & found}
    return found


def main(wanted: list[str]) -> None:
    start = time.monotonic()
    owners: dict[str, str] = {}
    requirements: dict[str, set[str]] = {}
    empty = []
    for distribution in importlib.metadata.distributions():
        name = package_key(distribution.metadata["Name"] or "")
        needs = [re.match(r"[\w.-]+", text) for text in distribution.requires or [] if "extra ==" not in text]
        requirements[name] = {package_key(need[0]) for need in needs if need}
        if wanted and name not in wanted:
            continue
        modules = modules_of(distribution)
        owners.update(dict.fromkeys(modules, name))
        if not modules:
            empty.append(name)
    heavy = needing(requirements, "torch")
    order = sorted(owners, key=lambda module: (owners[module] not in heavy, module))
    found = import_all(order, max(os.cpu_count() or 1, 1))
    results = []
    for first in found:
        again = not first["ok"] and first["kind"] not in ("timeout", "signal")
        result = {"md5": first.get("md5", []), **alone(first["module"])} if again else first
        results.append({**result, "package": owners[result["module"]]})
    print(
        json.dumps(
            {
                "modules": sorted(results, key=lambda result: str(result["module"])),
                "without": sorted(empty),
                "missing": sorted(set(wanted) - set(requirements)),
                "seconds": round(time.monotonic() - start, 2),
                "python": ".".join(map(str, sys.version_info[:3])),
                "machine": os.uname().machine,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
