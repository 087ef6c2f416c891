"""The Pipeline universal-image on small flavors: where it ends, and with what, when something is wrong."""

import json
import re
from collections.abc import Callable

import pytest
from support.index_server import Fault
from support.pipeline_site import Site
from tekton.bench import Bench, blob, inspected, ran, task_run, told
from tekton.runner import PipelineOutcome

from factory.flavor.repository import Flavor
from factory.lock.lockfile import LOCK_FILE, require_lock

pytestmark = pytest.mark.tekton

CHECKED = {"clone", "check", "lock-verify", "gate-source"}
COSTLY = {"build", "image-test", "gate"}
ALL = CHECKED | {"strip", "prefetch"} | COSTLY
WHEEL = "small-1.0-py3-none-any.whl"
_HOOK = "\n[tool.factory.hooks]\nafter-install = '''\nUSER 0\nRUN {}\n'''\n"
NO_WORKBENCH = _HOOK.format("rm /opt/app-root/bin/start-notebook.sh")


def _another_hash(flavor: Flavor) -> None:
    path = flavor.folder / LOCK_FILE
    (digest,) = (
        artifact.sha256
        for pin in require_lock(flavor.folder).pins
        for artifact in pin.artifacts
        if artifact.file_name == WHEEL
    )
    path.write_text(path.read_text().replace(digest, digest[::-1]))


def _one_pin_less(flavor: Flavor) -> None:
    path = flavor.folder / LOCK_FILE
    text = path.read_text()
    start, end = text.index("small=="), text.index("torch==")
    path.write_text(text[:start] + text[end:])


@pytest.mark.parametrize(
    ("break_it", "rules", "lock_verify"),
    [
        (_another_hash, {"FAC309"}, "FAILURE"),
        (_one_pin_less, {"FAC309", "FAC322"}, "FAILURE"),
    ],
)
def test_a_broken_lock_ends_at_the_first_gate_which_names_the_rules(
    bench: Bench, site: Site, break_it: Callable[[Flavor], None], rules: set[str], lock_verify: str
) -> None:
    flavor = site.flavor()
    break_it(flavor)
    site.commit()
    outcome = bench.universal_image(flavor.name)
    assert outcome.failed_task == "gate-source", outcome.log
    assert ran(outcome) == CHECKED
    (of_check,), (of_verify,) = told(outcome, "check"), told(outcome, "lock-verify")
    assert (of_check["result"], of_verify["result"]) == ("FAILURE", lock_verify)
    assert set(re.findall(r"FAC\d+", of_check["note"])) == rules
    for rule in rules:
        assert rule in task_run(outcome, "gate-source").log
    assert bench.images() == []


def test_an_index_that_is_down_ends_at_the_first_gate_as_an_error(bench: Bench, site: Site) -> None:
    flavor = site.flavor()
    site.commit()
    for name in ("torch", "training-hub", "small"):
        site.index.fault(f"/simple/{name}/", Fault(status=503))
    outcome = bench.universal_image(flavor.name)
    assert outcome.failed_task == "gate-source", outcome.log
    assert ran(outcome) == CHECKED
    (of_check,), (of_verify,) = told(outcome, "check"), told(outcome, "lock-verify")
    assert (of_check["result"], of_verify["result"]) == ("SUCCESS", "ERROR")
    assert "503" in of_verify["note"]


def test_a_wheel_with_other_bytes_ends_in_prefetch_which_names_it(bench: Bench, site: Site) -> None:
    flavor = site.flavor()
    site.commit()
    # The index still tells the digest of the lock: nothing sees it before the bytes are there.
    site.index.fault(f"/files/{WHEEL}", Fault(wrong_bytes=True))
    outcome = bench.universal_image(flavor.name)
    assert outcome.failed_task == "prefetch", outcome.log
    assert [each["result"] for each in told(outcome, "lock-verify")] == ["SUCCESS"]
    assert f"{WHEEL}: the index sent sha256:" in task_run(outcome, "prefetch").log
    assert ran(outcome).isdisjoint(COSTLY)
    assert bench.images() == []
    assert list(bench.shared.rglob(f"{WHEEL}*")) == []


def test_a_build_that_fails_pushes_nothing(bench: Bench, site: Site) -> None:
    flavor = site.flavor(more=_HOOK.format("python -c 'raise SystemExit(7)'"))
    site.commit()
    outcome = bench.universal_image(flavor.name)
    assert outcome.failed_task == "build", outcome.log
    assert ran(outcome) == ALL - {"image-test", "gate"}
    assert bench.images() == []
    assert outcome.results.keys() == {"CHAINS-GIT_URL", "CHAINS-GIT_COMMIT"}


def test_a_mode_that_fails_ends_at_the_last_gate_and_its_repair_passes_on_the_same_volume(
    bench: Bench, site: Site
) -> None:
    """On a volume with a space in its path. The first base image is by tag and digest, as of MintMaker."""
    flavor = site.flavor(more=NO_WORKBENCH)
    broken = site.commit()
    by_both = f"{bench.base_image}@{inspected(bench.base_image)['Digest']}"
    outcome = bench.universal_image(flavor.name, **{"base-image": by_both})
    assert outcome.failed_task == "gate", outcome.log
    assert ran(outcome) == ALL
    (of_test,) = told(outcome, "image-test")
    assert (of_test["result"], of_test["failures"]) == ("FAILURE", 1)
    steps = task_run(outcome, "image-test").steps
    assert steps["workbench"].exit_code != 0
    assert steps["training"].exit_code == 0
    for note in (of_test["note"], task_run(outcome, "gate").log):
        assert "workbench ended with" in note
    # The image is there to be looked at.
    _is_told(bench, outcome, flavor, broken)

    site.mend(flavor, NO_WORKBENCH)
    site.push("small", "1.1")
    site.relock(flavor)
    repaired = site.commit()
    site.index.requests.clear()
    again = bench.universal_image(flavor.name)
    assert again.succeeded, again.log
    assert ran(again) == ALL
    _is_told(bench, again, flavor, repaired)
    assert again.results["IMAGE_DIGEST"] != outcome.results["IMAGE_DIGEST"]
    fetched = [request.path for request in site.index.requests if request.path.startswith("/files/")]
    assert fetched == ["/files/small-1.1-py3-none-any.whl"]
    assert list(bench.shared.rglob(WHEEL)) == []


def _is_told(bench: Bench, outcome: PipelineOutcome, flavor: Flavor, commit: str) -> None:
    """The results name what is in the registry, and what it was made from."""
    results = {name: str(value) for name, value in outcome.results.items()}
    found = inspected(results["IMAGE_REF"])
    assert found["Digest"] == results["IMAGE_DIGEST"]
    assert found["Labels"]["org.opencontainers.image.revision"] == results["CHAINS-GIT_COMMIT"] == commit
    bill = json.loads(blob(bench.registry, results["SBOM_BLOB_URL"]))
    pins = {(pin.name, pin.version) for pin in require_lock(flavor.folder).pins}
    assert {(each["name"], each["version"]) for each in bill["components"]} == pins
