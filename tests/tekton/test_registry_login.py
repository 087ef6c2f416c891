"""A registry that wants a login: factory-build pulls, pushes and attaches with the one that is bound."""

import base64
import json
from pathlib import Path

import pytest
from support.pipeline_site import Site
from support.podman import podman
from support.registry import PASSWORD, USER, registry
from tekton.runner import Cluster, TaskOutcome, run_task
from tekton.sources import known

pytestmark = pytest.mark.tekton

WRONG = "not-the-one-of-the-registry"


def _secret(folder: Path, host: str, password: str) -> Path:
    folder.mkdir(exist_ok=True)
    encoded = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (folder / ".dockerconfigjson").write_text(json.dumps({"auths": {host: {"auth": encoded}}}))
    return folder


def _silent(outcome: TaskOutcome) -> TaskOutcome:
    shown = f"{outcome.log} {outcome.results}"
    for password in (PASSWORD, WRONG):
        assert password not in shown
        assert base64.b64encode(f"{USER}:{password}".encode()).decode() not in shown
    return outcome


def test_the_bound_login_is_used_to_pull_to_push_and_to_attach(
    site: Site, volume: Path, cluster: Cluster, factory_image: str, small_workbench_base: str
) -> None:
    flavor = site.flavor()
    image = {"factory-image": factory_image}
    spaces = {"source": site.root, "context": volume / "context", "prefetched": volume / "prefetched"}
    for path in spaces.values():
        path.mkdir(exist_ok=True)
    for task, other in (("factory-strip", "context"), ("factory-prefetch", "prefetched")):
        ready = run_task(
            known().tasks[task],
            params={**image, "flavor": flavor.name},
            workspaces={"source": site.root, other: spaces[other]},
            cluster=cluster,
        )
        assert ready.succeeded, ready.log
    with registry(volume / "registry", login=True) as private:
        base = private.reference("base")
        words = ("--quiet", "--tls-verify=false", f"--creds={USER}:{PASSWORD}")
        podman("push", *words, small_workbench_base, base)
        outcomes = {
            password: _silent(
                run_task(
                    known().tasks["factory-build"],
                    params={
                        **image,
                        "flavor": flavor.name,
                        "image": private.reference("it", "1"),
                        "base-image": base,
                        "tls-verify": "false",
                    },
                    workspaces={**spaces, "dockerconfig": _secret(volume / "login", private.host, password)},
                    cluster=cluster,
                )
            )
            for password in (WRONG, PASSWORD)
        }
    wrong, right = outcomes[WRONG], outcomes[PASSWORD]
    assert not wrong.succeeded
    assert f"error: the base image {base} could not be pulled" in wrong.log
    assert "Look at its name, the logins and tls-verify" in wrong.log
    assert not wrong.results
    assert right.succeeded, right.log
    assert str(right.results["SBOM_BLOB_URL"]).startswith(f"{private.host}/it@sha256:")
