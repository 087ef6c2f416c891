"""What the CPU flavor's image holds: packages once, no leftovers, labels, the lock it was made from."""

import json
from collections import Counter
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from support.built import BuiltFlavor
from support.podman import podman

from factory.flavor.repository import Flavor
from factory.lock.lockfile import require_lock

pytestmark = pytest.mark.container

# The size in bytes of the files of the distributions named on the command line.
SIZE_OF_FILES = """
import os, sys
from importlib.metadata import distribution
paths = {os.path.realpath(file.locate()) for name in sys.argv[1:] for file in distribution(name).files}
print(sum(os.path.getsize(path) for path in paths if os.path.isfile(path)))
"""
NAMES = """
import importlib.metadata, json
print(json.dumps([found.name for found in importlib.metadata.distributions()]))
"""


def configuration(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(podman("image", "inspect", image))[0]["Config"]
    return found


def test_every_package_is_there_once_in_the_locked_version(cpu_flavor: BuiltFlavor) -> None:
    names = json.loads(podman("run", "--rm", cpu_flavor.tag, "python", "-c", NAMES))
    counted = Counter(canonicalize_name(name) for name in names)
    assert {name: count for name, count in counted.items() if count != 1} == {}
    assert {pin.name for pin in require_lock(cpu_flavor.folder).pins} <= set(counted)


def test_the_build_adds_no_more_than_what_it_installs(cpu_flavor: BuiltFlavor) -> None:
    names = [pin.name for pin in require_lock(cpu_flavor.folder).pins]
    installed = int(podman("run", "--rm", cpu_flavor.tag, "python", "-c", SIZE_OF_FILES, *names))
    sizes = [
        int(podman("image", "inspect", "--format", "{{.Size}}", tag))
        for tag in (cpu_flavor.tag, cpu_flavor.base)
    ]
    added = sizes[0] - sizes[1]
    assert installed > 1_000_000_000
    assert added <= 1.05 * installed


def test_nothing_else_is_left_in_the_image(cpu_flavor: BuiltFlavor) -> None:
    changes = podman("image", "diff", cpu_flavor.tag, cpu_flavor.base).splitlines()
    added = {line.split(maxsplit=1)[1] for line in changes if line.startswith("A ")}
    outside = {path for path in added if not path.startswith("/opt/app-root/")}
    # The part of the lock that each layer was installed from.
    locks = {path for path in outside if path.startswith("/usr/share/factory/layers")}
    layers = {path.split("/")[5] for path in locks if path.endswith("/requirements.txt")}
    recorded = {layer.name for layer in Flavor(cpu_flavor.folder).project.spec.package_layers}
    assert layers == (recorded or {"accelerator"}) | {"rest"}
    assert len(locks) == 2 * len(layers) + 1
    outside -= locks
    added -= locks
    assert outside == {
        "/cachi2",  # where the prefetched folder was mounted
        "/licenses",
        "/licenses/universal-cpu-license.md",
        "/usr/local/bin/entrypoint-universal.sh",
        "/usr/share/factory",
        "/usr/share/factory/package-layers.sh",
        "/usr/share/factory/requirements.txt",
    }
    places = {"/".join(path.split("/")[3:5]) for path in added - outside}
    assert {place.split("/")[0] for place in places} <= {"bin", "lib", "share", "include", "etc"}


def test_the_lock_in_the_image_is_the_one_in_the_folder(cpu_flavor: BuiltFlavor) -> None:
    record = podman("run", "--rm", cpu_flavor.tag, "cat", "/usr/share/factory/requirements.txt")
    assert record == (cpu_flavor.folder / "requirements.txt").read_text()


def test_the_image_starts_as_user_1001_with_the_entry_point_alone(cpu_flavor: BuiltFlavor) -> None:
    found = configuration(cpu_flavor.tag)
    assert found["User"] == "1001"
    assert found["Entrypoint"] == ["/usr/local/bin/entrypoint-universal.sh"]
    assert not found.get("Cmd")
    assert found["WorkingDir"] == "/opt/app-root/src"


def test_the_image_is_labelled_with_what_it_is(cpu_flavor: BuiltFlavor) -> None:
    labels = configuration(cpu_flavor.tag)["Labels"]
    assert labels["name"] == labels["org.opencontainers.image.title"] == "th011-cpu-torch2130-py311"
    assert labels["version"] == labels["org.opencontainers.image.version"] == "0.11.2"
    assert labels["org.opencontainers.image.base.name"] == cpu_flavor.base


def test_no_setting_of_the_build_is_left_in_the_environment(cpu_flavor: BuiltFlavor) -> None:
    assert configuration(cpu_flavor.tag)["Env"] == configuration(cpu_flavor.base)["Env"]
