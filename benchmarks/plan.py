"""Measure `factory plan` for 50 unchanged images against the bound of 0.3 seconds.

The images are of all tiers: bases, stacks, trainers, launchers and rendered, locked flavors. All are in a
real registry on loopback. There are two references: `import click`, which measures the machine, and a program
that asks the same registry for the same 50 tags, one after the other over one connection, with the standard
library. The three take turns.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from factory.flavor.repository import Flavor, Repository
from factory.render.drift import sync_flavor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.registry import registry
from support.tiers import make_image, publish_all, table

ROOT = Path(__file__).parents[1]
BOUND_SECONDS = 0.3
FLAVORS, BASES, STACKS, TRAINERS, LAUNCHERS = 15, 2, 10, 20, 3
MODULES = 20
REFERENCE = """
import http.client
import sys
connection = http.client.HTTPConnection(sys.argv[1])
for path in sys.argv[2:]:
    connection.request("HEAD", path, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, (path, answer.status)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--source", type=Path, default=ROOT / "flavors" / "th09-cuda130-torch2110-py312")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, registry(Path(folder) / "registry") as served:
        root = Path(folder) / "repository"
        make_repository(root, options.source, served.host)
        plan = publish_all(Repository(root), served.host)
        planned = (sys.executable, "-m", "factory", "plan", "--check", "--root", str(root))
        paths = [f"/v2/images/{step.name}/manifests/{step.tag}" for step in plan.steps]
        asked = (sys.executable, "-c", REFERENCE, served.host, *paths)
        # Compiled once, as an installed package is.
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled")}
        environment = {**os.environ, **compiled, "PYTHONPATH": str(ROOT)}
        timed(planned, environment)
        imported = (sys.executable, "-c", "import click")
        commands = (planned, asked, imported)
        taken = [tuple(timed(each, environment) for each in commands) for _ in range(options.rounds)]
        before = cpu_seconds()
        timed(planned, environment)
        worked = cpu_seconds() - before
    # The fastest of each: what else the machine does only ever adds to the time.
    seconds, reference, click = (min(times) for times in zip(*taken, strict=True))
    print(f"{len(paths)} images, all in the registry; fastest of {options.rounds} runs that took turns")
    print(f"factory plan:        {seconds:.2f} s, of which the processor works {worked:.2f} s")
    print(f"{len(paths)} plain HEADs:      {reference:.2f} s")
    print(f"import click:        {click:.2f} s")
    print(f"ratio to the bound:  {seconds / BOUND_SECONDS:.2f} of {BOUND_SECONDS} s")
    print(f"ratio to the HEADs:  {seconds / reference:.1f} times their time")
    print(f"ratio to the import: {seconds / click:.1f} times its time")
    sys.exit(seconds > BOUND_SECONDS)


def make_repository(root: Path, source: Path, host: str) -> None:
    """A repository of 50 images of all tiers, whose registry is on loopback."""
    pushed = 'registry = "release"'
    outside = "registry.example.com/vendor/base:1"
    tables = [
        f'[registries.release]\nurl = "{host}/images"\nclass = "persistent"\n',
        f"[flavors]\n{pushed}\n",
    ]
    tiers = (
        ("base", "pytorch-base", BASES, (outside,)),
        ("stack", "stack", STACKS, tuple(f"base-{number}" for number in range(BASES))),
        ("trainer", "trainer", TRAINERS, tuple(f"stack-{number}" for number in range(STACKS))),
        ("launcher", "launcher", LAUNCHERS, (outside,)),
    )
    files = {f"src/module_{part}.py": f"x = {part}\n" * 200 for part in range(MODULES)}
    for tier, kind, count, parents in tiers:
        for number in range(count):
            name = f"{tier}-{number}"
            make_image(root, name, {"requirements.txt": "trl\n", **files}, sources="requirements.txt src")
            tables.append(table(name, kind, parents[number % len(parents)], pushed))
    (root / "factory.toml").write_text("".join(tables), encoding="utf-8")
    for number in range(FLAVORS):
        make_flavor(root / "flavors" / f"bench-{number:03}", source)


def make_flavor(folder: Path, source: Path) -> None:
    """A rendered and locked flavor, made from another under a name of its own."""
    folder.mkdir(parents=True)
    project = (source / "pyproject.toml").read_text(encoding="utf-8").replace(source.name, folder.name)
    project = project.replace("[tool.factory]\n", f'[tool.factory]\nname = "{folder.name}"\n')
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    shutil.copy(source / "requirements.txt", folder)
    sync_flavor(Flavor(folder))


def cpu_seconds() -> float:
    """What all programs that were started and have ended took of the processor: no other program counts."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(command: tuple[str, ...], environment: dict[str, str]) -> float:
    """Seconds that a program takes; it has to end with 0."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
