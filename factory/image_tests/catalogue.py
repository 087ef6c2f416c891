"""Every test of the factory's own, by the kind of image that it is for: the whole of it on one screen.

An image has the tests of "any", of its kind, and of the kinds of the images that it stands on: what holds for
a `pytorch-base` holds for a stack on it and for a trainer on that. A flavor has all but the launcher's.
To add one: write its function (it takes a `Context` and gives a `Result`), and a line here.
"""

from collections.abc import Callable, Mapping

from factory.image_tests import matching, starting, tidy
from factory.image_tests.context import Context
from factory.image_tests.definition import ImageTest, Result


def _quick(
    name: str, title: str, function: Callable[[Context], Result], *, needs_flavor: bool = False
) -> ImageTest:
    return ImageTest(name=name, title=title, level="quick", function=function, needs_flavor=needs_flavor)


_ANY = (
    _quick("arbitrary-user", "Starts as any user of group 0 on a read-only root", starting.arbitrary_user),
    _quick("labels", "Its labels are the Dockerfile's and name the image", matching.labels),
    _quick("compilers", "No compiler is in the image", tidy.compilers),
    _quick("caches", "No cache of uv or pip is in the image", tidy.caches),
    _quick("credentials", "No login, token or private key is in the image", tidy.credentials),
    _quick("stray-files", "The build left no files behind", tidy.stray_files),
    _quick("dependencies", "Installed packages fit together (pip check)", matching.dependencies),
    _quick("locked-packages", "Each locked package is there once, as locked", matching.locked_packages),
)
_COMMAND = (
    _quick(
        "entrypoint-command", "A command runs as given, its status comes back", starting.entrypoint_command
    ),
)
_FLAVOR = (
    _quick(
        "entrypoint-notebook", "JupyterLab starts where no command is given", starting.entrypoint_notebook
    ),
    _quick(
        "versions", "Python, torch, training-hub: the spec's versions", matching.versions, needs_flavor=True
    ),
)

TESTS: Mapping[str, tuple[ImageTest, ...]] = {
    "any": _ANY,
    "pytorch-base": _COMMAND,
    "stack": (),
    "trainer": (),
    "launcher": (),
    "flavor": (*_COMMAND, *_FLAVOR),
}
