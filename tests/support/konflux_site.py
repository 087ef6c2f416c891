"""Repositories whose flavors Konflux builds."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from support.small_flavors import make_flavor

from factory.flavor.repository import Repository
from factory.konflux.settings import Settings, parse_settings
from factory.konflux.writing import KonfluxReport, write_runs

SETTINGS = """\
[konflux]
application = "images"
output-image = "quay.io/example/"
"""
NOTHING: Mapping[str, str | None] = {}


def make_site(root: Path, *names: str, settings: str | None = SETTINGS) -> Repository:
    """A repository with small flavors of these names, and a ``factory.toml``."""
    (root / "flavors").mkdir(parents=True, exist_ok=True)
    for name in names:
        make_flavor(root, name=name, index_url=None)
    if settings is not None:
        (root / "factory.toml").write_text(settings, encoding="utf-8")
    return Repository(root)


def write_all(repository: Repository, **options: str) -> KonfluxReport:
    """What `factory konflux --all` does."""
    given = {key.replace("_", "-"): value for key, value in options.items()}
    return write_runs(repository, repository.flavors(), options=given, every=True)


def settings_of(text: str = SETTINGS) -> Settings:
    """The settings in the text of a ``factory.toml``."""
    settings = parse_settings(text)
    assert settings is not None
    return settings


def read_run(repository: Repository, name: str) -> Any:  # noqa: ANN401
    """A file under ``.tekton/`` as a cluster reads it."""
    return yaml.safe_load((repository.root / ".tekton" / f"{name}.yaml").read_text(encoding="utf-8"))


def parameters(run: Any) -> dict[str, Any]:  # noqa: ANN401
    """The parameters of a PipelineRun, by name."""
    return {parameter["name"]: parameter["value"] for parameter in run["spec"]["params"]}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def texts(value: Any) -> Iterable[object]:  # noqa: ANN401
    """Every scalar of a document, keys included."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    else:
        yield value
