"""An image under test that no engine has: for tests of what a test makes of what it is told."""

from pathlib import Path

from factory.engine.engine import Engine
from factory.image_tests.container import Containers
from factory.image_tests.context import Context
from factory.image_tests.subject import Configuration, ImageUnderTest, foreign_lineage


def made_context(tmp_path: Path) -> Context:
    """A context that starts nothing."""
    engine = Engine(kind="podman", program=tmp_path / "nothing")
    configuration = Configuration(environment={}, entrypoint=(), command=(), user="", folder="/", labels={})
    subject = ImageUnderTest(
        reference="localhost/x:1", name="x", image_id="a" * 64, layers=(), size=0, history=(),
        lineage=foreign_lineage(), configuration=configuration,
    )  # fmt: skip
    return Context(subject=subject, containers=Containers(engine=engine, image="localhost/x:1"))
