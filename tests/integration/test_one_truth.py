"""Whatever is done in whatever order, `plan`, `status`, `test` and `push` agree with a model on what exists.

Four images, three of them a chain, are edited, built, built on another base image, tested, pushed and pruned
at random. The commands are the real ones, the registry is a real one; podman is `support.memory_engine`.
``FACTORY_TRUTH_RUNS`` is how many sequences are tried (`make nightly`).
"""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.memory_engine import MemoryEngine
from support.registry import registry

from factory.cli.main import main
from factory.errors import NotFoundError
from factory.image_tests import several
from factory.image_tests.report import ImageTestReport, TestOutcome

pytestmark = pytest.mark.integration

PARENTS = {"base": None, "stack": "base", "trainer": "stack", "launcher": None}
NAMES = st.sampled_from(sorted(PARENTS))
BASE, OTHERS = "localhost/uif-base:1", ("localhost/uif-other:1", "localhost/uif-other:2")
RUNS = int(os.environ.get("FACTORY_TRUTH_RUNS", "4"))
STEPS, FEW = 16, 10
ALL_PHASES = tuple(Phase)
Key = tuple[Any, ...]


class Truth(RuleBasedStateMachine):
    """The model: which versions the files have, and which builds, tests and pushes there were.

    A key is what an identity has to be a function of: the versions of an image's files and of its parents',
    and the base image. None is the variant of the settings, a reference that of an option.
    """

    engine: MemoryEngine
    host = ""
    numbers = count()

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="uif-truth-"))
        self.versions = dict.fromkeys(PARENTS, 0)
        self.built: dict[str, dict[str | None, list[Key]]] = {name: {} for name in PARENTS}
        self.tested: dict[Key, bool] = {}
        self.pushed: dict[str, set[Key]] = {name: set() for name in PARENTS}
        self.tags: dict[Key, str] = {}

    @initialize()
    def begin(self) -> None:
        self.engine.images.clear()
        self.engine.names.clear()
        for name in (BASE, *OTHERS):
            self.engine.image(name, files=name)
        self.place = f"run-{next(self.numbers)}"
        text = f'[registries.near]\nurl = "{self.host}/{self.place}"\nclass = "disposable"\n'
        text += "tls-verify = false\nkeep = 1\nkeep-days = 0\n"
        (self.root / "flavors").mkdir()
        for name, parent in PARENTS.items():
            folder = self.root / "images" / name
            folder.mkdir(parents=True)
            (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY file.txt /\n")
            (folder / "file.txt").write_text(f"{name} 0")
            text += f'[images.{name}]\nkind = "stack"\nparent = "{parent or BASE}"\nregistry = "near"\n'
        (self.root / "factory.toml").write_text(text)

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def run(self, *words: str, status: int = 0) -> Any:  # noqa: ANN401 - JSON
        out = io.StringIO()
        with pytest.raises(SystemExit) as ended, redirect_stdout(out), redirect_stderr(io.StringIO()):
            main(["--root", str(self.root), "--json", *words])
        assert ended.value.code == status, out.getvalue()
        return json.loads(out.getvalue())

    def key(self, name: str, base: str | None) -> Key:
        """What an image is made from now, in a variant."""
        parent = PARENTS[name]
        below = (base or BASE,) if parent is None else self.key(parent, base)
        return (name, self.versions[name], *below)

    def meant(self, name: str) -> str | None:
        """The variant that commands mean: that of the settings, or the only one there is."""
        others = [base for base in self.built[name] if base is not None]
        return others[0] if None not in self.built[name] and len(others) == 1 else None

    def taken(self, name: str) -> Key | None:
        """The build that `test` and `push` take: the current one, else the newest of the variant."""
        builds = self.built[name].get(self.meant(name), [])
        key = self.key(name, self.meant(name))
        return key if key in builds else (builds[-1] if builds else None)

    @rule(name=NAMES)
    def edit(self, name: str) -> None:
        """Change a file, or change it back: an earlier build is the current one again."""
        version = 1 - self.versions[name]
        (self.root / "images" / name / "file.txt").write_text(f"{name} {version}")
        self.versions[name] = version

    @rule(name=NAMES)
    def build(self, name: str) -> None:
        self.run("build", name)
        while name and self._make(name, None):
            name = PARENTS[name] or ""

    @rule()
    def build_all(self) -> None:
        self.run("build")
        for name in PARENTS:
            self._make(name, None)

    @rule(name=NAMES)
    def fix(self, name: str) -> None:
        self.edit(name)
        self.build_all()

    @rule(base=st.sampled_from(OTHERS))
    def build_all_on(self, base: str) -> None:
        self.run("build", *PARENTS, "--base-image", base)
        for name in PARENTS:
            self._make(name, base)

    def _make(self, name: str, base: str | None) -> bool:
        """Record a build, unless it exists; return whether it was made."""
        key, builds = self.key(name, base), self.built[name].setdefault(base, [])
        if key not in builds:
            builds.append(key)
            return True
        return False

    @rule(name=NAMES, passed=st.booleans(), elsewhere=st.booleans())
    def test(self, name: str, *, passed: bool, elsewhere: bool) -> None:
        type(self).outcome = passed
        words = ("--report", str(self.root / "a report")) if elsewhere else ()
        key = self.taken(name)
        if key is None:
            self.run("test", name, *words, status=NotFoundError.exit_code)
        else:
            self.run("test", name, *words, status=0 if passed else 1)
            self.tested[key] = passed

    outcome = True

    @rule(name=NAMES)
    def push(self, name: str) -> None:
        key = self.taken(name)
        self.run("push", name, status=0 if key else NotFoundError.exit_code)
        if key is not None:
            self.pushed[name].add(key)

    @rule()
    def prune(self) -> None:
        self.run("registry", "prune", "near", "--yes")
        for name, keys in self.pushed.items():
            listed = httpx.get(f"http://{self.host}/v2/{self.place}/{name}/tags/list").json().get("tags")
            left = {key for key in keys if self.tags[key] in (listed or ())}
            # What the moving tag names stays, and nothing of another image goes with it.
            assert bool(left) == bool(keys)
            self.pushed[name] = left

    @invariant()
    def status_agrees(self) -> None:
        if not (self.root / "factory.toml").exists():
            return
        for image in self.run("status")["images"]:
            name, base = image["name"], self.meant(image["name"])
            key, taken = self.key(name, base), self.taken(name)
            assert self.tags.setdefault(key, image["tag"]) == image["tag"]
            assert (image["built"] is not None) == (taken is not None)
            assert taken is None or image["built"]["current"] == (key == taken)
            tested = image["tested"] if image["tested"] and image["tested"]["current"] else None
            assert (tested["passed"] if tested else None) == self.tested.get(key)
            assert any(one["current"] for one in image["pushed"]) == (key in self.pushed[name])
            others = {base for base in self.built[name] if base != self.meant(name)}
            assert {build["variant"]["base_image"] for build in image["also_built"]} == others
        assert len(set(self.tags.values())) == len(self.tags)

    @invariant()
    def plan_agrees(self) -> None:
        if not (self.root / "factory.toml").exists():
            return
        plan = self.run("plan")
        missing = {name for name in PARENTS if self.key(name, None) not in self.built[name].get(None, [])}
        assert set(plan["to_build"]) == missing
        for image in plan["images"]:
            others = {base for base in self.built[image["image"]] if base is not None}
            said = {build["variant"]["base_image"] for build in image["also_built"]}
            assert said == (others if image["image"] in missing else set())


def _outcome(engine: object, subject: Any, selection: Any, *, ended: object) -> ImageTestReport:  # noqa: ANN401
    del engine, ended
    test = TestOutcome(
        name="t", title="t", level="quick", tags=(), status="passed" if Truth.outcome else "failed", seconds=0
    )
    return ImageTestReport(
        image=subject.name,
        kind=None,
        image_id=subject.image_id,
        identity=subject.identity,
        flavor=None,
        level=selection.level,
        engine="podman",
        started="2026-12-01T00:00:00Z",
        seconds=0,
        outcomes=(test,),
        packages=(),
        layers=(),
    )


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Truth]]:
    with registry(tmp_path / "registry") as served:
        Truth.engine, Truth.host = MemoryEngine(), served.host
        Truth.engine.install(monkeypatch, tmp_path)
        # Tests inside of images are not what this is about.
        monkeypatch.setattr(several, "run_tests", _outcome)
        yield Truth


def test_every_command_agrees_with_the_model(truth: type[Truth]) -> None:
    run_state_machine_as_test(
        truth,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            # A failure in a busy run is told at once; `make nightly` looks for the shortest one.
            phases=ALL_PHASES if RUNS > FEW else (Phase.generate,),
        ),
    )
