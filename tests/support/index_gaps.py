"""Runs of ``factory index-gaps``, and what is in their JSON."""

import json
from typing import Any

import pytest
from support.workshop import Run, Workshop

from factory.cli.main import main


def look(workshop: Workshop, *arguments: str) -> Run:
    """Run ``factory index-gaps``."""
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(workshop.root), "index-gaps", *arguments])
    captured = workshop.capsys.readouterr()
    status = ended.value.code
    assert isinstance(status, int)
    return Run(status=status, out=captured.out, err=captured.err)


def flavors_in(run: Run) -> list[dict[str, Any]]:
    body: dict[str, Any] = json.loads(run.out)
    flavors: list[dict[str, Any]] = body["flavors"]
    return flavors


def gaps_in(run: Run, key: str = "gaps") -> dict[str, dict[str, Any]]:
    (flavor,) = flavors_in(run)
    return {gap["package"]: gap for gap in flavor[key]}


def assumed_in(run: Run) -> dict[str, tuple[str | None, str | None]]:
    (flavor,) = flavors_in(run)
    return {item["package"]: (item["version"], item["source"]) for item in flavor["assumed"]}
