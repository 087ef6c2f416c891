"""Run in a container beside its JupyterLab: make, run and save a notebook.

It uses the server's own HTTP API and the kernel's WebSocket, as a browser does. Arguments: the server's
address, its token, and the seconds that all of it may take.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

NAME = "factory-image-test.ipynb"
CELL = "import sys\nprint(6 * 7)\nsys.version_info[0]"
# A refused connection and the gateway's own errors: the server is still starting.
STARTING = (502, 503)


def ask(address: str, token: str, method: str, path: str, body: Any = None) -> Any:
    """Send one request to the server's API, and return its answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    asked = urllib.request.Request(address + path, data=data, headers=headers, method=method)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text and "json" in answer.headers.get("Content-Type", "") else text.decode()


def wait_for_server(address: str, token: str, deadline: float) -> str:
    """Return the server's version as soon as it answers."""
    while True:
        try:
            return str(ask(address, token, "GET", "/api")["version"])
        except urllib.error.HTTPError as error:
            if error.code not in STARTING or time.monotonic() > deadline:
                raise
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def cell(outputs: list[dict[str, Any]], count: int | None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": "factory",
        "metadata": {},
        "source": CELL,
        "execution_count": count,
        "outputs": outputs,
    }


def notebook(outputs: list[dict[str, Any]], count: int | None) -> dict[str, Any]:
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell(outputs, count)]}
    return {"type": "notebook", "format": "json", "content": content}


def message(session: str, kind: str, content: dict[str, Any]) -> str:
    """Return a message of Jupyter's protocol 5.3 as JSON."""
    header = {
        "msg_id": f"{session}-{kind}",
        "msg_type": kind,
        "username": "factory",
        "session": session,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": "5.3",
    }
    return json.dumps(
        {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": "shell",
            "buffers": [],
        }
    )


async def execute(
    address: str, token: str, kernel: str, seconds: float
) -> tuple[list[dict[str, Any]], int | None]:
    """Run the cell; return its outputs as a notebook keeps them, and its number."""
    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    url = f"{address.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels?session_id=factory"
    request = HTTPRequest(url, headers={"Authorization": f"token {token}"}, request_timeout=seconds)
    connection = await asyncio.wait_for(websocket_connect(request), seconds)
    content = {
        "code": CELL,
        "silent": False,
        "store_history": True,
        "allow_stdin": False,
        "stop_on_error": True,
    }
    await connection.write_message(message("factory", "execute_request", {**content, "user_expressions": {}}))
    outputs: list[dict[str, Any]] = []
    count, replied, idle = None, False, False
    while not (replied and idle):
        text = await asyncio.wait_for(connection.read_message(), seconds)
        if text is None:
            raise ConnectionError("the server closed the kernel's channel")
        found = json.loads(text)
        kind, body = found["header"]["msg_type"], found["content"]
        if found.get("parent_header", {}).get("msg_id") != "factory-execute_request":
            continue
        if kind == "stream":
            outputs.append({"output_type": "stream", "name": body["name"], "text": body["text"]})
        elif kind == "execute_result":
            kept = {key: body[key] for key in ("data", "metadata", "execution_count")}
            outputs.append({"output_type": "execute_result", **kept})
        elif kind == "error":
            raise RuntimeError("{ename}: {evalue}".format(**body))
        elif kind == "execute_reply":
            replied, count = True, body.get("execution_count")
        elif kind == "status" and body["execution_state"] == "idle":
            idle = True
    connection.close()
    return outputs, count


def try_all(address: str, token: str, seconds: float, done: dict[str, Any]) -> None:
    """Do each step after its name is recorded in ``done``, which shows where it failed."""
    deadline = time.monotonic() + seconds
    done["step"] = "the server answers"
    done["server"] = wait_for_server(address, token, deadline)
    done["step"] = "JupyterLab's page"
    done["lab"] = "jupyter-config-data" in ask(address, token, "GET", "/lab")
    done["step"] = "a notebook is made"
    ask(address, token, "PUT", f"/api/contents/{NAME}", notebook([], None))
    done["step"] = "a kernel starts"
    asked = {"name": "", "path": NAME, "type": "notebook", "kernel": {"name": "python3"}}
    session = ask(address, token, "POST", "/api/sessions", asked)
    done["kernel"] = session["kernel"]["name"]
    done["step"] = "the cell is run"
    left = max(deadline - time.monotonic(), 1.0)
    done["outputs"], count = asyncio.run(execute(address, token, session["kernel"]["id"], left))
    done["step"] = "the notebook is saved"
    ask(address, token, "PUT", f"/api/contents/{NAME}", notebook(done["outputs"], count))
    done["step"] = "the saved notebook is read"
    saved = ask(address, token, "GET", f"/api/contents/{NAME}?content=1")
    done["saved"] = saved["content"]["cells"][0]["outputs"] == done["outputs"]
    done["step"] = "everything is tidied up"
    ask(address, token, "DELETE", f"/api/sessions/{session['id']}")
    ask(address, token, "DELETE", f"/api/contents/{NAME}")
    done["step"] = ""


def main(address: str, token: str, seconds: float) -> None:
    done: dict[str, Any] = {"step": "", "problem": ""}
    start = time.monotonic()
    try:
        try_all(address, token, seconds, done)
    except urllib.error.HTTPError as error:
        done["problem"] = f"{error.code} {error.reason}: {error.read()[:500].decode('utf-8', 'replace')}"
    except Exception as error:  # whatever fails is the answer
        done["problem"] = f"{type(error).__name__}: {error}"
    done["seconds"] = round(time.monotonic() - start, 2)
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
