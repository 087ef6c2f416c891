"""Run the steps of a CI system's file with a real shell, with the factory installed from its wheel."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{ *(?P<name>[a-z_.A-Z]+) *\}\}")


@dataclass(frozen=True, kw_only=True)
class CiMachine:
    """An environment of a job: a Python without the factory, and the wheel that a job installs there."""

    bin: Path
    wheel: Path

    def run(self, script: str, *, folder: Path, environment: Mapping[str, str]) -> str:
        """Run a script as GitHub runs one with ``shell: bash``; what it printed, in the order it came."""
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{self.bin}:{os.environ['PATH']}",
                "FACTORY_PACKAGE": str(self.wheel),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}"
        return done.stdout


def ci_machine(folder: Path) -> CiMachine:
    """Make one in a folder: the packages that the factory needs are this environment's."""
    wheel = folder / build_factory_wheel(folder)
    venv.create(folder / "python", with_pip=False, symlinks=True)
    (packages,) = (folder / "python" / "lib").glob("python*/site-packages")
    (packages / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return CiMachine(bin=folder / "python" / "bin", wheel=wheel)


def build_factory_wheel(folder: Path) -> str:
    """Build the factory's wheel into a folder; its name."""
    root = Path(__file__).parents[2]
    code = f"import hatchling.build; print(hatchling.build.build_wheel({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def github_steps(
    workflow: Path, values: Mapping[str, str], *, job: str = ""
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield each ``run`` step of a workflow: its name, its script and its environment.

    Of all jobs, or of one. ``values`` are those of the expressions that an environment may have.
    """
    document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    for name, entry in document["jobs"].items():
        for step in entry["steps"] if job in {"", name} else ():
            if "run" in step:
                given = {**entry.get("env", {}), **step.get("env", {})}
                yield step["name"], step["run"], {key: _valued(value, values) for key, value in given.items()}


def _valued(text: str, values: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda match: values[match["name"]], text)


def gitlab_scripts(pipeline: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each job of a pipeline as one script, as GitLab's runner has it, and the job."""
    document = yaml.safe_load(pipeline.read_text(encoding="utf-8"))
    jobs = {name: job for name, job in document.items() if isinstance(job, dict) and "script" in job}
    for job in jobs.values():
        yield "\n".join([*job.get("before_script", ()), *job["script"]]), job
