"""Logins that are bound as workspaces: the right one is used, a wrong one is told, and none is shown."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pipeline_site import Site
from tekton.runner import Cluster, TaskOutcome, run_task
from tekton.sources import known

pytestmark = pytest.mark.tekton

USER, PASSWORD, WRONG = "reader", "read-and-nothing-else", "not-the-one-of-the-index"


@pytest.fixture
def private(site: Site) -> Iterator[tuple[Site, str]]:
    """A repository whose flavor is locked, and whose index wants a login from now on."""
    flavor = site.flavor()
    site.index.credentials = (USER, PASSWORD)
    yield site, flavor.name
    site.index.credentials = None


def _run(
    task: str, where: tuple[Site, str], folder: Path, cluster: Cluster, image: str, password: str
) -> TaskOutcome:
    site, flavor = where
    workspaces = {"source": site.root, "prefetched": folder / "prefetched", "netrc": folder / "netrc"}
    for path in workspaces.values():
        path.mkdir(exist_ok=True)
    text = f"machine 127.0.0.1\nlogin {USER}\npassword {password}\n"
    (workspaces["netrc"] / ".netrc").write_text(text)
    if task != "factory-prefetch":
        del workspaces["prefetched"]
    outcome = run_task(
        known().tasks[task],
        params={"factory-image": image, "flavor": flavor},
        workspaces=workspaces,
        cluster=cluster,
    )
    shown = f"{outcome.log} {outcome.results}"
    assert PASSWORD not in shown
    assert WRONG not in shown
    assert "Traceback" not in shown
    return outcome


def test_the_login_of_an_index_is_used(
    private: tuple[Site, str], volume: Path, cluster: Cluster, factory_image: str
) -> None:
    verified = _run("factory-lock-verify", private, volume, cluster, factory_image, PASSWORD)
    assert json.loads(str(verified.results["TEST_OUTPUT"]))["result"] == "SUCCESS", verified.log
    fetched = _run("factory-prefetch", private, volume, cluster, factory_image, PASSWORD)
    assert fetched.succeeded, fetched.log
    assert fetched.results["ARTIFACTS"] == "3"


def test_an_index_that_takes_no_such_login_is_told(
    private: tuple[Site, str], volume: Path, cluster: Cluster, factory_image: str
) -> None:
    verified = _run("factory-lock-verify", private, volume, cluster, factory_image, WRONG)
    told = json.loads(str(verified.results["TEST_OUTPUT"]))
    assert told["result"] == "ERROR", verified.log
    assert "401" in verified.log
    fetched = _run("factory-prefetch", private, volume, cluster, factory_image, WRONG)
    assert not fetched.succeeded
    assert "401" in fetched.log
    assert "what to do:" in fetched.log
