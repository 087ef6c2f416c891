"""Every test of the factory's own, by the kind of image that it is for: the whole of it on one screen.

An image has the tests of "any", of its kind, and of the kinds of the images that it stands on: what holds for
a `pytorch-base` holds for a stack on it and for a trainer on that. A flavor has all but the launcher's.
To add one: write its function (it takes a `Context` and gives a `Result`), and a line here.
"""

from collections.abc import Mapping

from factory.image_tests import quick
from factory.image_tests.definition import ImageTest

_ANY = (
    ImageTest(
        name="arbitrary-user",
        title="Runs as an arbitrary user of group 0 on a read-only root file system",
        level="quick",
        function=quick.arbitrary_user,
    ),
)

TESTS: Mapping[str, tuple[ImageTest, ...]] = {
    "any": _ANY,
    "pytorch-base": (),
    "stack": (),
    "trainer": (),
    "launcher": (),
    "flavor": (),
}
