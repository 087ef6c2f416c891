"""The drivers of container registries, each of which knows one service; `open_driver` chooses."""

import os
from collections.abc import Callable, Mapping

from factory.registry.client import open_registry
from factory.registry.declared import DriverName, Registry
from factory.registry.drivers.artifact_registry import open_artifact_registry
from factory.registry.drivers.driver import Driver
from factory.registry.drivers.ecr import open_ecr
from factory.registry.drivers.oci import OciDriver
from factory.registry.inventory import LabelReader

Environment = Mapping[str, str]


def _open_oci(registry: Registry, read_labels: LabelReader, environment: Environment) -> Driver:
    return OciDriver(client=open_registry(registry, environment=environment), read_labels=read_labels)


DRIVERS: Mapping[DriverName, Callable[[Registry, LabelReader, Environment], Driver]] = {
    "oci": _open_oci,
    "ecr": open_ecr,
    "artifact-registry": open_artifact_registry,
}


def open_driver(registry: Registry, read_labels: LabelReader) -> Driver:
    """Open the driver of a registry with the environment's logins; close it at the end.

    Raises:
        RegistryError: what the driver needs is not installed, or the host is not of its kind.
    """
    return DRIVERS[registry.driver](registry, read_labels, os.environ)
