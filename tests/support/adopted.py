"""Hand-made folders and Dockerfiles, small ones, and what becomes of them."""

from dataclasses import dataclass
from pathlib import Path

from factory.adopt.adopt import AdoptedFlavor, adopt_folder
from factory.adopt.dockerfile import read_old_dockerfile
from factory.adopt.evidence import AdoptOptions
from factory.adopt.folder import Folder
from factory.adopt.instructions import place_dockerfile
from factory.adopt.placement import Placement
from factory.adopt.template import read_template
from factory.flavor.hooks import Hooks, check_hooks
from factory.flavor.repository import Repository
from factory.flavor.spec import Spec

SPEC = Spec(
    accelerator="cuda",
    accelerator_version="13.0",
    torch="2.11.0",
    python="3.12",
    training_hub="0.9.2",
    index_url=None,
    base_image="quay.io/example/base:1",
    downstream_base_image="quay.io/example/product:1",
)
GIVEN = read_template(SPEC)
EMPTY = Folder(root=Path("folder"), paths=(), links=())
URL = "https://packages.example.com/cuda13.0/simple/"
BASE = "quay.io/example/workbench-cuda-py312:1"
MINIMAL = {
    "Dockerfile": f"FROM {BASE}\nRUN uv pip install -r requirements.txt\n",
    "requirements.txt": f"--index-url {URL}\ntorch==2.11.0+cu130\ntraining-hub==0.9.2\n",
}
INSTALL = "RUN uv pip install --no-deps --require-hashes -r requirements.txt"


@dataclass(frozen=True, kw_only=True)
class Placed:
    """What became of a Dockerfile's instructions, in order, and the hooks that came of them."""

    placements: tuple[Placement, ...]
    hooks: Hooks


def place(lines: str, folder: Folder = EMPTY, *, install_after: str | None = None) -> Placed:
    """Place lines that stand after the install step; before it, and others after, with ``install_after``."""
    parts = [f"{INSTALL}\n", lines] if install_after is None else [lines, f"{INSTALL}\n", install_after]
    text = "".join(["FROM quay.io/example/base:1\n", *parts])
    placements, draft = place_dockerfile(read_old_dockerfile("Dockerfile", text.encode()), folder, GIVEN)
    return Placed(placements=placements, hooks=check_hooks(draft.hooks()))


def hand_made(parent: Path, files: dict[str, str], name: str = "mine") -> Path:
    """A folder with files of these texts."""
    folder = parent / name
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def adopt(repository: Repository, folder: Path, *, write: bool = True) -> AdoptedFlavor:
    """Adopt a folder as it is, without options."""
    return adopt_folder(repository, folder, AdoptOptions(), write=write)
