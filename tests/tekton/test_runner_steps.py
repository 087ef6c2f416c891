"""The runner, with podman: what a step sees and hands on, by Tekton's documentation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tekton.runner import Cluster, RefusedError, run_pipeline, run_task
from tekton.tried import script, task

pytestmark = pytest.mark.tekton


def test_steps_share_results_volumes_and_workspaces(node: Cluster, factory_image: str, volume: Path) -> None:
    tried = task(
        script(
            """
            test "$GREETING" = 'hello "$(whoami)" world'
            echo from-first >"$(workspaces.shared.path)/a file"
            echo kept >/kept/file
            """,
            name="first",
            env=[{"name": "GREETING", "value": "$(params.greeting)"}],
            volumeMounts=[{"name": "kept", "mountPath": "/kept"}],
        ),
        script(
            """
            test "$(workspaces.absent.bound)-$(workspaces.absent.path)" = false-
            test "$(workspaces.shared.bound)" = true
            cat /kept/file "$(workspaces.shared.path)/a file" | tr '\\n' ' ' >"$(results.seen.path)"
            printf '["$1", "b c"]' >"$(results.many.path)"
            """,
            name="second",
            volumeMounts=[{"name": "kept", "mountPath": "/kept", "readOnly": True}],
        ),
        params=[{"name": "greeting", "type": "string"}],
        workspaces=[{"name": "shared"}, {"name": "absent", "optional": True}],
        volumes=[{"name": "kept", "emptyDir": {}}],
        results=[{"name": "seen"}, {"name": "many", "type": "array"}, {"name": "never-written"}],
    )

    outcome = run_task(
        tried,
        params={"image": factory_image, "greeting": 'hello "$(whoami)" world'},
        workspaces={"shared": volume},
        cluster=node,
    )

    assert outcome.succeeded, outcome.log
    assert outcome.results == {"seen": "kept from-first ", "many": ["$1", "b c"]}
    assert (volume / "a file").read_text() == "from-first\n"


def test_arguments_alone_go_to_the_entrypoint_of_the_image(node: Cluster, factory_image: str) -> None:
    outcome = run_task(
        task({"name": "entry", "args": ["--version"]}),
        params={"image": factory_image},
        workspaces={},
        cluster=node,
    )

    assert outcome.steps["entry"].output.startswith("factory, version"), outcome.log


def test_kubernetes_expands_arguments_and_the_environment_and_leaves_scripts_alone(
    node: Cluster, factory_image: str
) -> None:
    tried = task(
        script(
            """
            printf '%s|%s|%s|%s' "$SECOND" "$1" "$2" "$(printf inner)$$" >$(results.said.path)
            """,
            name="prints",
            env=[
                {"name": "FIRST", "value": "one"},
                {"name": "SECOND", "value": "$(FIRST)+$(NONE)+$$(FIRST)"},
            ],
            args=["$(SECOND)", "$(params.image)"],
        ),
        results=[{"name": "said"}],
    )

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    said = str(outcome.results["said"]).split("|")
    assert said[:3] == ["one+$(NONE)+$(FIRST)", "one+$(NONE)+$(FIRST)", factory_image], outcome.log
    # The shell's $$ is the number of its process: the kubelet saw nothing of the script.
    assert said[3].removeprefix("inner").isdigit()


@pytest.mark.parametrize(
    ("written", "fits"),
    # The message holds the name of the result, its type and the time, in JSON, beside the value.
    [("printf '%3990s' x", True), ("printf '%4096s' x", False), ("printf '<%.0s' {1..700}", False)],
)
def test_results_have_4096_bytes_together_as_json(
    node: Cluster, factory_image: str, written: str, *, fits: bool
) -> None:
    tried = task(script(f"{written} >$(results.big.path)"), results=[{"name": "big"}])

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert outcome.succeeded == fits, outcome.log
    assert ("Termination message is above max allowed size" in outcome.reason) != fits


@pytest.mark.parametrize(
    ("context", "user", "shown"),
    [
        ({}, None, "1001:0"),
        ({"runAsNonRoot": True}, 1000660000, "1000660000:0"),
        ({"runAsUser": 65532, "runAsGroup": 65531}, 1000660000, "65532:65531"),
        ({"runAsUser": 0, "runAsNonRoot": False}, 1000660000, "0:0"),
    ],
)
def test_the_user_of_a_step(
    node: Cluster, factory_image: str, context: dict[str, Any], user: int | None, shown: str
) -> None:
    tried = task(
        script('printf "%s:%s" "$(id -u)" "$(id -g)" >$(results.user.path)', securityContext=context),
        results=[{"name": "user"}],
    )

    outcome = run_task(
        tried, params={"image": factory_image}, workspaces={}, cluster=replace(node, user=user)
    )

    assert outcome.results == {"user": shown}, outcome.log


def test_root_is_refused_where_a_step_may_not_be_root(node: Cluster, factory_image: str) -> None:
    tried = task(script("true", securityContext={"runAsUser": 0, "runAsNonRoot": True}))

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert outcome.status == "Failed"
    assert "container has runAsNonRoot and image will run as root" in outcome.reason


@pytest.mark.parametrize(
    ("context", "effective"),
    [
        # CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7, SETPCAP 8, NET_BIND 10
        ({"runAsUser": 0}, "00000000000005fb"),
        ({"runAsUser": 0, "capabilities": {"add": ["SETFCAP"]}}, "00000000800005fb"),
        ({"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}, "0000000000000001"),
        ({"runAsUser": 1001, "capabilities": {"add": ["CHOWN"]}}, "0000000000000000"),
    ],
)
def test_the_capabilities_of_a_step(
    node: Cluster, factory_image: str, context: dict[str, Any], effective: str
) -> None:
    tried = task(
        script("awk '/CapEff/ {printf $2}' /proc/self/status >$(results.set.path)", securityContext=context),
        results=[{"name": "set"}],
    )

    outcome = run_task(tried, params={"image": factory_image}, workspaces={}, cluster=node)

    assert outcome.results == {"set": effective}, outcome.log


def test_a_script_that_names_what_is_not_there_is_refused(node: Cluster, factory_image: str) -> None:
    with pytest.raises(RefusedError, match=r"there is no \$\(params\.nowhere\)"):
        run_task(
            task(script("echo $(params.nowhere)")),
            params={"image": factory_image},
            workspaces={},
            cluster=node,
        )


def test_a_pipeline_hands_results_on_and_a_failure_still_runs_finally(
    node: Cluster, factory_image: str, volume: Path
) -> None:
    writes = task(
        script('printf %s "$WORD" | tee file >$(results.word.path)', workingDir="$(workspaces.out.path)",
               env=[{"name": "WORD", "value": "$(params.word)"}]),
        params=[{"name": "word"}], results=[{"name": "word"}], workspaces=[{"name": "out"}],
    )  # fmt: skip
    judges = task(
        script('test "$1" = right', args=["$(params.words[*])"]), params=[{"name": "words", "type": "array"}]
    )
    says = task(script('printf %s "$1" >$(results.said.path)', args=["$(params.status)"]),
                params=[{"name": "status"}], results=[{"name": "said"}])  # fmt: skip
    image = {"name": "image", "value": "$(params.image)"}
    pipeline = {
        "apiVersion": "tekton.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": "tried"},
        "spec": {
            "params": [{"name": "image"}, {"name": "words", "type": "array"}],
            "workspaces": [{"name": "shared"}],
            "tasks": [
                {
                    "name": "write",
                    "taskSpec": writes["spec"],
                    "params": [image],
                    "matrix": {"params": [{"name": "word", "value": "$(params.words[*])"}]},
                    "workspaces": [{"name": "out", "workspace": "shared", "subPath": "below/it"}],
                },
                {
                    "name": "judge",
                    "taskSpec": judges["spec"],
                    "params": [image, {"name": "words", "value": "$(tasks.write.results.word[*])"}],
                },
                {"name": "after", "taskSpec": judges["spec"], "runAfter": ["judge"],
                 "params": [image, {"name": "words", "value": ["right"]}]},
            ],
            "finally": [
                {"name": "tell", "taskSpec": says["spec"],
                 "params": [image, {"name": "status", "value": "$(tasks.judge.status) $(tasks.status)"}]},
            ],
            "results": [{"name": "words", "value": "$(tasks.write.results.word[*])"}],
        },
    }  # fmt: skip

    outcome = run_pipeline(
        pipeline,
        params={"image": factory_image, "words": ["wrong", "right"]},
        workspaces={"shared": volume},
        cluster=node,
    )

    assert (outcome.status, outcome.failed_task) == ("Failed", "judge"), outcome.log
    assert outcome.results == {"words": ["wrong", "right"]}
    assert outcome.tasks["after"].status == "Skipped"  # type: ignore[union-attr]
    assert outcome.tasks["tell"].results == {"said": "Failed Failed"}  # type: ignore[union-attr]
    assert (volume / "below" / "it" / "file").read_text() in {"wrong", "right"}
