"""Submit a training job to the Kubernetes cluster that this runs in: an Indexed Job, one pod for each node.

The service account of the pod has to be allowed to create jobs. torchrun in the pods finds the others through the
first one's host name, for which the cluster needs a headless service of the job's name.
"""

import argparse
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PORT = 29500


def job(*, name: str, image: str, nodes: int, gpus: int, arguments: list[str]) -> dict[str, object]:
    """Return the job as Kubernetes takes it (batch/v1)."""
    command = [
        "--nnodes", str(nodes), "--nproc-per-node", str(max(gpus, 1)), "--rdzv-backend", "c10d",
        "--rdzv-id", name, "--rdzv-endpoint", f"{name}-0.{name}:{PORT}", *arguments,
    ]  # fmt: skip
    resources = {"limits": {"nvidia.com/gpu": gpus}} if gpus else {}
    pod = {
        "restartPolicy": "Never",
        "subdomain": name,
        "containers": [{"name": "trainer", "image": image, "args": command, "resources": resources}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": 0,
            "template": {"spec": pod},
        },
    }


def submit(manifest: dict[str, object], *, server: str, namespace: str) -> str:
    """Create the job and return its name in the cluster."""
    token, authority = ACCOUNT / "token", ACCOUNT / "ca.crt"
    request = urllib.request.Request(
        f"{server}/apis/batch/v1/namespaces/{namespace}/jobs",
        data=json.dumps(manifest).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    if token.is_file():
        request.add_unredirected_header("Authorization", f"Bearer {token.read_text().strip()}")
    context = ssl.create_default_context(cafile=str(authority) if authority.is_file() else None)
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return str(json.load(answer)["metadata"]["name"])


def in_cluster() -> str:
    """Return the address of the cluster's API, which every pod has in its environment."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
    return f"https://{f'[{host}]' if ':' in host else host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"


def main() -> int:
    """Submit the job of the command line; return 1 if the cluster refuses it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="name of the job")
    parser.add_argument("image", help="the trainer's image, by digest")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the script for torchrun and its arguments")
    parser.add_argument("--nodes", type=int, default=1, help="pods; default: %(default)s")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs for each pod; default: %(default)s")
    parser.add_argument("--namespace", default="default", help="default: %(default)s")
    parser.add_argument("--server", default=in_cluster(), help="the cluster's API; default: the one around")
    parser.add_argument("--dry-run", action="store_true", help="print the job and submit nothing")
    options = parser.parse_args()
    manifest = job(
        name=options.name,
        image=options.image,
        nodes=options.nodes,
        gpus=options.gpus,
        arguments=options.arguments,
    )
    if options.dry_run:
        print(json.dumps(manifest, indent=2))
        return 0
    try:
        print(submit(manifest, server=options.server, namespace=options.namespace))
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:1000]
        print(f"error: the cluster refused the job ({error.code}): {said}", file=sys.stderr)
        return 1
    except urllib.error.URLError as error:
        print(f"error: {options.server} does not answer: {error.reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
