"""Amazon's services on loopback: moto's server, reached by boto3 as a program is told to."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

ACCOUNT, REGION = "123456789012", "eu-central-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


@contextmanager
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve while the block runs, with made-up keys in the environment; gives the server's URL."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - slow to import

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    # What it has is the process's: what an earlier server was told would be there still.
    httpx.post(f"{url}/moto-api/reset", trust_env=False).raise_for_status()
    try:
        yield url
    finally:
        server.stop()
