"""All of the factory's own tests on one screen, by the kind of image.

An image has the tests of "any", of its kind, and of its parents' kinds: what is true for a `pytorch-base` is
true for a stack on it and for a trainer on that. A flavor has those of a `pytorch-base` as well. A trainer or
launcher with an entry point of its own is no workbench, and has no test of its parent's entry point.
To add one: write its function (it takes a `Context` and returns a `Result`), and a line here.
"""

from collections.abc import Callable, Mapping

from factory.image_tests import importing, matching, starting, tidy, training
from factory.image_tests.context import Context
from factory.image_tests.definition import GPU_TAG, ImageTest, Result
from factory.image_tests.importing import IMPORT_SECONDS

# Ten seconds on a quiet machine; a busy one may need more.
_STANDARD_SECONDS = 300.0


def _quick(
    name: str,
    title: str,
    function: Callable[[Context], Result],
    *,
    needs_flavor: bool = False,
    of_entrypoint: bool = False,
) -> ImageTest:
    return ImageTest(
        name=name,
        title=title,
        level="quick",
        function=function,
        needs_flavor=needs_flavor,
        of_entrypoint=of_entrypoint,
    )


def _standard(
    name: str,
    title: str,
    function: Callable[[Context], Result],
    *,
    seconds: float = _STANDARD_SECONDS,
    tags: tuple[str, ...] = (),
    of_entrypoint: bool = False,
) -> ImageTest:
    return ImageTest(
        name=name,
        title=title,
        level="standard",
        function=function,
        seconds=seconds,
        tags=tags,
        of_entrypoint=of_entrypoint,
    )


def _full(
    name: str, title: str, function: Callable[[Context], Result], *, tags: tuple[str, ...] = ()
) -> ImageTest:
    return ImageTest(
        name=name, title=title, level="full", function=function, tags=tags, seconds=training.MODEL_SECONDS
    )


_ANY = (
    _quick("arbitrary-user", "Starts as any user of group 0 on a read-only root", starting.arbitrary_user),
    _quick("labels", "Its labels are the Dockerfile's and name the image", matching.labels),
    _quick("compilers", "No compiler is in the image", tidy.compilers),
    _quick("caches", "No cache of uv or pip is in the image", tidy.caches),
    _quick("credentials", "No login, token or private key is in the image", tidy.credentials),
    _quick("stray-files", "The build left no files behind", tidy.stray_files),
    _quick("dependencies", "Installed packages fit together (pip check)", matching.dependencies),
    _quick("locked-packages", "Each locked package is there once, as locked", matching.locked_packages),
    _standard(
        "imports", "Every module of every locked package imports", importing.imports, seconds=IMPORT_SECONDS
    ),
    _standard(
        "no-network", "Nothing needs a network to be imported", importing.no_network, seconds=IMPORT_SECONDS
    ),
    _standard("shared-libraries", "Every ELF file finds its libraries", importing.shared_libraries),
    _standard(
        "openssl", "OpenSSL is the system's; FIPS as advice", importing.openssl, seconds=IMPORT_SECONDS
    ),
)
_COMMAND = (
    _quick(
        "entrypoint-command",
        "A command runs as given, its status comes back",
        starting.entrypoint_command,
        of_entrypoint=True,
    ),
)
_TRAINING = (
    _standard(
        "sigterm-command",
        "SIGTERM reaches the command, which ends in time",
        starting.stops_command,
        of_entrypoint=True,
    ),
    _standard("torchrun", "torchrun: two processes reduce on gloo, end on SIGTERM", starting.torchrun),
)
_COMPILED = (
    # A flavor has a test of this name, by its spec, which takes its place.
    _quick("versions", "torch is the one that the base was to compile", matching.torch_version),
    _standard(
        "architectures",
        "torch is compiled for every GPU of the base's arguments",
        matching.torch_architectures,
        tags=("cuda", "rocm"),
    ),
)
_GPU = (
    _full("gpu", "PyTorch sees each GPU and computes on it", training.device, tags=(GPU_TAG,)),
    _full("collectives", "NCCL or RCCL adds up over every GPU", training.collectives, tags=(GPU_TAG,)),
)
_FLAVOR = (
    _quick(
        "entrypoint-notebook",
        "JupyterLab starts where no command is given",
        starting.entrypoint_notebook,
        of_entrypoint=True,
    ),
    _quick(
        "versions", "Python, torch, training-hub: the spec's versions", matching.versions, needs_flavor=True
    ),
    _standard(
        "notebook",
        "JupyterLab runs a cell, saves, ends on SIGTERM",
        starting.notebook,
        of_entrypoint=True,
    ),
    _standard("ipv6-only", "torchrun and JupyterLab work with IPv6 alone", starting.ipv6, of_entrypoint=True),
    _full("model", "A small model learns, is saved and loaded the same", training.model),
    _full("training-hub", "A training-hub run on generated data saves a checkpoint", training.training_hub),
)

_TRAINER = (
    _quick(
        "entrypoint-torchrun",
        "Its entry point, torchrun, starts what it is given",
        starting.entrypoint_torchrun,
    ),
    _quick("trainer-script", "The script of its command is there, compiles", starting.trainer_script),
    _standard("ipv6-torchrun", "torchrun works with IPv6 alone", starting.ipv6_torchrun),
)
_LAUNCHER = (
    _quick("entrypoint-kept", "Entry point and command are the parent's", starting.entrypoint_kept),
    _quick("launch-script", "Its program runs, and submits no job", starting.launch_script),
)

TESTS: Mapping[str, tuple[ImageTest, ...]] = {
    "any": _ANY,
    "pytorch-base": (*_COMMAND, *_COMPILED, *_TRAINING, *_GPU),
    "stack": (),
    "trainer": _TRAINER,
    "launcher": _LAUNCHER,
    "flavor": (*_COMMAND, *_TRAINING, *_FLAVOR, *_GPU),
}
