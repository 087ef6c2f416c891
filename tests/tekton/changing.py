"""Small Tekton objects that are right, and a way to break one of them in one place."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from tekton.semantic import Interface, Known, Node, Parameter

DIGEST = f"quay.io/example/tool@sha256:{'a' * 64}"
GONE = object()  # as a new value: the place is taken away

TASK: Node = yaml.safe_load(f"""
apiVersion: tekton.dev/v1
kind: Task
metadata:
  name: greet
  labels:
    app.kubernetes.io/version: "0.1"
  annotations:
    tekton.dev/pipelines.minVersion: "0.56.0"
    tekton.dev/tags: "example"
spec:
  description: Greets.
  params:
    - name: tool-image
      description: Runs the steps.
      type: string
    - name: who
      description: To greet.
      type: string
      default: world
    - name: others
      description: To greet as well.
      type: array
      default: []
  workspaces:
    - name: source
      description: Is read.
    - name: cache
      description: Makes it fast.
      optional: true
  results:
    - name: GREETING
      description: What was said.
      type: string
    - name: WORDS
      description: What was said, in words.
      type: array
  volumes:
    - name: shared
      emptyDir: {{}}
  stepTemplate:
    imagePullPolicy: IfNotPresent
    securityContext:
      runAsNonRoot: true
      allowPrivilegeEscalation: false
      capabilities: {{drop: [ALL]}}
    env:
      - name: WHO
        value: $(params.who)
  steps:
    - name: first
      image: $(params.tool-image)
      args: ["--", "$(params.others[*])"]
      computeResources: &resources
        requests: {{cpu: 100m, memory: 64Mi}}
        limits: {{cpu: "1", memory: 128Mi}}
      volumeMounts: &mounts
        - name: shared
          mountPath: /shared
      onError: continue
      script: |
        #!/usr/bin/env bash
        set -euo pipefail
        printf 'Hello %s' "$WHO" "$@" | tee "$(results.GREETING.path)" > /shared/greeting
        ls -- "$(workspaces.source.path)"
    - name: second
      image: {DIGEST}
      computeResources: *resources
      volumeMounts: *mounts
      env:
        - name: CACHED
          value: $(workspaces.cache.bound)
        - name: RUN
          value: $(context.taskRun.name)
      script: |
        #!/usr/bin/env bash
        # Says it in words.
        set -euo pipefail
        read -r code < "$(steps.step-first.exitCode.path)"
        printf '["%s", "%s", "%s"]' "$CACHED" "$RUN" "$code" > "$(results.WORDS.path)"
""")

PIPELINE: Node = yaml.safe_load("""
apiVersion: tekton.dev/v1
kind: Pipeline
metadata:
  name: greetings
  labels:
    app.kubernetes.io/version: "0.1"
  annotations:
    tekton.dev/pipelines.minVersion: "0.56.0"
    tekton.dev/tags: "example"
spec:
  description: Greets many.
  params:
    - name: tool-image
      description: Runs the steps.
      type: string
    - name: people
      description: To greet, each in a TaskRun.
      type: array
      default: [a, b]
  workspaces:
    - name: shared
      description: Is read.
    - name: fast
      description: Makes it fast.
      optional: true
  results:
    - name: GREETING
      description: What was said first.
      type: string
      value: $(tasks.one.results.GREETING)
    - name: WORDS
      description: What was said last.
      type: array
      value: $(tasks.two.results.WORDS[*])
  tasks:
    - name: one
      taskRef:
        name: greet
      params: &params
        - name: tool-image
          value: $(params.tool-image)
      workspaces: &workspaces
        - name: source
          workspace: shared
    - name: two
      taskRef:
        name: greet
      params:
        - name: tool-image
          value: $(params.tool-image)
        - name: who
          value: Mrs $(tasks.one.results.GREETING)
        - name: others
          value: $(params.people[*])
      workspaces:
        - name: source
          workspace: shared
        - name: cache
          workspace: fast
    - name: each
      runAfter: [two]
      when:
        - input: $(workspaces.fast.bound)
          operator: in
          values: ["false"]
      taskRef:
        name: greet
      matrix:
        params:
          - name: who
            value: $(params.people[*])
      params: *params
      workspaces: *workspaces
    - name: named
      taskRef:
        name: greet
      matrix:
        include:
          - name: first
            params:
              - name: who
                value: $(params.people[0])
      params: *params
      workspaces: *workspaces
  finally:
    - name: gate
      taskRef:
        name: greet
      params:
        - name: tool-image
          value: $(params.tool-image)
        - name: who
          value: $(tasks.one.status)
        - name: others
          value: ["$(tasks.each.results.GREETING[*])"]
      workspaces: *workspaces
""")

TASK_RUN: Node = yaml.safe_load(f"""
apiVersion: tekton.dev/v1
kind: TaskRun
metadata:
  generateName: greet-
spec:
  taskRef:
    name: greet
  params:
    - name: tool-image
      value: {DIGEST}
    - name: others
      value: [x, y]
  workspaces:
    - name: source
      emptyDir: {{}}
""")

PIPELINE_RUN: Node = yaml.safe_load(f"""
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata:
  name: greetings-1
spec:
  pipelineRef:
    name: greetings
  params:
    - name: tool-image
      value: {DIGEST}
    - name: people
      value: [x, y]
  workspaces:
    - name: shared
      subPath: $(context.pipelineRun.name)
      persistentVolumeClaim:
        claimName: shared
""")

KNOWN = Known(
    tasks={"greet": TASK},
    pipelines={"greetings": PIPELINE},
    catalogue={
        "init": Interface(
            params={"image-url": Parameter(type="string", required=True)},
            results={"build": "string", "at": "object"},
        )
    },
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One check: a change that it must find, what it says of it, and a change that it must not find."""

    name: str
    base: Node
    bad: Mapping[str, object]
    says: str
    good: Mapping[str, object] = field(default_factory=dict)


def changed(document: Node, changes: Mapping[str, object]) -> Node:
    """The document with other values at some places: ``spec.steps[0].image``; ``spec.params[+]`` appends."""
    # Not deepcopy alone: what YAML's aliases share must not change together.
    copied: Node = _unshared(document)
    for place, value in changes.items():
        *above, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", place)]
        node: Any = copied
        for key in above:
            node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
        if value is GONE:
            del node[last]
        elif last == "+":
            node.append(copy.deepcopy(value))
        else:
            node[last] = copy.deepcopy(value)
    return copied


def _unshared(node: Any) -> Any:  # noqa: ANN401 - any YAML
    if isinstance(node, Mapping):
        return {key: _unshared(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_unshared(value) for value in node]
    return node
