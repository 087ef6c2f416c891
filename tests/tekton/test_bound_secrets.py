"""A Secret that is bound without the file that a step needs is refused, not passed over."""

import os
from pathlib import Path

import pytest
import yaml
from tekton.scripts import Ran, run_step
from tekton.semantic import Node
from tekton.sources import ROOT

CASES = (
    ("factory-lock-verify", "verify", "netrc", "netrc"),
    ("factory-prefetch", "prefetch", "netrc", "netrc"),
    ("factory-image-test", "inspect", "dockerconfig", "config"),
)


def _spec(task: str) -> Node:
    spec: Node = yaml.safe_load((ROOT / "tekton" / "tasks" / task / f"{task}.yaml").read_text())["spec"]
    return spec


def _run(task: str, step: str, bound: dict[str, Path], folder: Path) -> Ran:
    # No repository and no registry is needed: what is bound is looked at before them.
    workspaces = {name: folder / name for name in ("source", "prefetched")} | bound
    given = {"flavor": "none", "image": "127.0.0.1:1/none:1"}
    return run_step(_spec(task), step, folder / "run", given, workspaces, {"WORK": str(folder)})


@pytest.mark.parametrize(("task", "step", "workspace", "wrong"), CASES)
def test_a_bound_secret_without_the_file_is_refused(
    task: str, step: str, workspace: str, wrong: str, tmp_path: Path
) -> None:
    secret = tmp_path / "a secret"
    secret.mkdir()
    (secret / wrong).write_text("")
    ran = _run(task, step, {workspace: secret}, tmp_path)
    assert ran.status == 1
    assert f"error: the workspace {workspace} holds " in ran.stderr
    assert "what to do: bind a Secret" in ran.stderr
    assert not ran.results


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        ("127.0.0.1:1/a/b:1.2@sha256:" + "0" * 64, "127.0.0.1:1/a/b@sha256:" + "0" * 64),
        ("127.0.0.1:1/a/b@sha256:" + "0" * 64, "127.0.0.1:1/a/b@sha256:" + "0" * 64),
        ("127.0.0.1:1/a/b:1.2", "127.0.0.1:1/a/b:1.2"),
    ],
)
def test_skopeo_is_asked_for_a_digest_without_the_tag(image: str, asked: str, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "skopeo").write_text('#!/bin/bash\nprintf "asked %s\\n" "$@" >&2\nexit 1\n')
    (programs / "skopeo").chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}", "WORK": str(tmp_path)}
    ran = run_step(_spec("factory-image-test"), "inspect", tmp_path / "run", {"image": image}, {}, path)
    assert ran.status == 1
    assert f"asked docker://{asked}\n" in ran.stderr
