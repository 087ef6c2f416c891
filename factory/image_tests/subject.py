"""The image under test: its configuration and history in the engine, its lineage in the repository."""

import itertools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NotRequired, TypedDict

from factory.console import did_you_mean
from factory.dockerfile.model import read_dockerfile
from factory.dockerfile.references import PATH_COMPONENT, find_reference
from factory.documents import Size, parse_json
from factory.engine.engine import Engine, Operand, call_engine
from factory.engine.images import (
    IDENTITY_LABEL,
    IMAGE_LABEL,
    KIND_LABEL,
    EngineImage,
    find_image,
    load_layout,
)
from factory.errors import ImageTestError, NotFoundError
from factory.files import read_text
from factory.flavor.kinds import Kind
from factory.flavor.project import PROJECT_FILE
from factory.flavor.repository import Flavor, Repository, find_repository
from factory.flavor.spec import Spec
from factory.images.catalogue import Catalogue, read_catalogue
from factory.images.chosen import choose_build
from factory.images.definitions import ImageDefinition, VariantOptions, local_reference
from factory.masking import HIDDEN, masked
from factory.registry.tags import identity_tag

TITLE_LABEL = "org.opencontainers.image.title"
BASE_LABEL = "org.opencontainers.image.base.name"
_ID_LENGTH = 12
_IDENTITY = re.compile("[0-9a-f]{64}")
# What is on top of what, as far as labels tell: they have no order.
_ORDER: tuple[Kind, ...] = ("launcher", "trainer", "stack", "flavor", "pytorch-base")
_TRAINER_ENTRYPOINT = "torchrun"
# The kinds whose entry point is no workbench's, if it is not their parent's.
_ENDS_OF_LINE = frozenset({"trainer", "launcher"})
_ARCHITECTURES = {"TORCH_CUDA_ARCH_LIST": "cuda", "PYTORCH_ROCM_ARCH": "rocm"}
TESTS_FOLDER = "tests"
SHARED_TESTS_FOLDER = Path("tests", "images")
LOGIN_IN_URL = re.compile(r"(?<=://)[^/\s:@\"']+:(?!\$)[^/\s@\"'$]+(?=@)")
# A value, not the name of a variable or of a file at which a secret is mounted.
_VALUE = re.compile(
    r"\b(\w*(?:TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_KEY)\w*)=(?![\"']?[$/]|[\"']{2}|\s|$)"
    r"(\"[^\"]*\"|'[^']*'|\S+)",
    re.IGNORECASE,
)
# Whole words at the end: MAX_TOKENS and TOKENIZERS_PARALLELISM are not credentials.
_SECRET_NAME = re.compile(
    r"\w*(?:PASSWORD|PASSWD)|(?:\w+_)?(?:TOKEN|SECRET|API_?KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|CREDENTIALS?)",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[+-]?[\d._]*|true|false|yes|no|on|off|none|null", re.IGNORECASE)
_SOURCE = "the history of an image"


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """An image with its parents: ``definitions`` and ``kinds``, its own first.

    ``folders`` hold drop-in tests and known failures, the nearest first, and the repository's for every image
    last. ``known``: the first kind is the image's; an unknown image is tested as a flavor.
    ``own_entrypoint``: a trainer or launcher that starts neither a workbench nor a given command.
    """

    definitions: tuple[ImageDefinition, ...]
    kinds: tuple[Kind, ...]
    folders: tuple[Path, ...]
    known: bool = True
    own_entrypoint: bool = False

    @property
    def kind(self) -> Kind | None:
        """The kind of the image; None if it is not known."""
        return self.kinds[0] if self.known else None

    @property
    def flavor(self) -> Flavor | None:
        """The flavor that the image is; None for another kind of image, or if it is unknown."""
        return self.definitions[0].flavor if self.definitions else None

    @property
    def nearest_flavor(self) -> Flavor | None:
        """The flavor that the image is or is built on; None if it is not known."""
        return next((one.flavor for one in self.definitions if one.flavor is not None), None)

    @property
    def accelerator(self) -> str | None:
        """cpu, cuda or rocm; None if that is not known. Raises as `read_project` does."""
        if (flavor := self.nearest_flavor) is not None:
            return flavor.project.spec.accelerator
        arguments = {name for one in self.definitions for name, _ in one.build_args}
        return next((kind for name, kind in _ARCHITECTURES.items() if name in arguments), None)


@dataclass(frozen=True, kw_only=True)
class HistoryStep:
    """A step of a build: the bytes that it added, its instruction, and the credentials in that.

    The text has stars in place of each credential; ``credentials`` says what each is.
    """

    size: int
    text: str
    credentials: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How an image starts (OCI image-spec, config)."""

    environment: Mapping[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    user: str
    folder: str
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ImageUnderTest:
    """An image to test.

    ``reference`` is its name in the engine, ``name`` that for people; ``layers`` are the digests of the
    uncompressed layers. It inherits its tests from its ``lineage``. ``notes`` say what to know of the choice
    of this build.
    """

    reference: str
    name: str
    image_id: str
    layers: tuple[str, ...]
    size: int
    configuration: Configuration
    history: tuple[HistoryStep, ...]
    lineage: Lineage
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> str | None:
        """The identity that it was built with (64 hex digits); None if no label has it."""
        # Anybody may label an image with anything, and the identity names a folder.
        found = self.configuration.labels.get(IDENTITY_LABEL) or ""
        return found if _IDENTITY.fullmatch(found) else None

    @property
    def definition(self) -> ImageDefinition | None:
        """The image's definition in the repository."""
        return self.lineage.definitions[0] if self.lineage.definitions else None

    @property
    def flavor(self) -> Flavor | None:
        """The flavor that it is; None for another kind of image, or if it is unknown."""
        return self.lineage.flavor

    @property
    def spec(self) -> Spec | None:
        """The spec of the flavor that it is or is built on; raises as `read_project` does."""
        flavor = self.lineage.nearest_flavor
        return None if flavor is None else flavor.project.spec

    @property
    def accelerator(self) -> str | None:
        """cpu, cuda or rocm; None if that is not known."""
        return self.lineage.accelerator

    @property
    def report_folder(self) -> Path:
        """The path of its reports below a folder for reports: its name and its identity's tag."""
        tag = self.image_id[:_ID_LENGTH] if self.identity is None else identity_tag(self.identity)
        return Path(self.name, tag)


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """The parent of the image under test: its ID, how it starts, and how it was built."""

    image_id: str
    configuration: Configuration
    history: tuple[HistoryStep, ...]


def repository_here(root: Path | None, start: Path, image: str) -> Repository | None:
    """Return the repository of an image; None without one, which a reference does not need.

    Raises:
        NotFoundError: ``root`` was given, and is not a repository.
    """
    try:
        return find_repository(root, start=start, flavors=(image,))
    except NotFoundError:
        if root is not None:
            raise
        return None


def find_lineage(repository: Repository | None, name: str | None) -> Lineage | None:
    """Return the lineage of an image; None without a repository, a name or such an image.

    Raises:
        SpecError: ``factory.toml`` is not acceptable.
    """
    return None if repository is None or name is None else lineage_of(repository, name)


def find_subject(
    engine: Engine,
    image: str,
    *,
    repository: Repository | None,
    flavor: str | None,
    variant: VariantOptions | None = None,
) -> ImageUnderTest:
    """Find the image to test, by the name of one of the repository's or any reference.

    Raises:
        ImageTestError: the engine does not have it, or it is another image of the repository than ``flavor``.
        NotFoundError: there is no flavor of the given name, or the image has no build of the variant.
        SpecError: ``factory.toml`` is not acceptable.
    """
    lineage = None if repository is None else lineage_of(repository, image)
    if repository is not None and flavor is not None:
        _require_flavor(lineage, image, repository.flavor(flavor))
    reference, notes = image, tuple[str, ...]()
    if repository is not None and lineage is not None:
        reference, notes = _built(engine, repository, image, variant or VariantOptions())
    found = _find(engine, reference, () if repository is None else [one.name for one in repository.images()])
    configuration = _configuration(found)
    if repository is not None and flavor is not None:
        lineage = lineage or lineage_of(repository, flavor)
    elif repository is not None and lineage is None:
        labels = configuration.labels
        named = (labels.get(IMAGE_LABEL), labels.get(TITLE_LABEL))
        lineage = next((made for name in named if name and (made := _labelled(repository, name))), None)
    lineage = lineage or labelled_lineage(configuration, repository) or foreign_lineage(repository)
    return ImageUnderTest(
        reference=reference,
        name=_name(lineage, reference),
        image_id=found.id,
        layers=found.layers,
        size=found.size,
        configuration=configuration,
        history=history_of(engine, reference),
        lineage=lineage,
        notes=notes,
    )


def _require_flavor(lineage: Lineage | None, image: str, flavor: Flavor) -> None:
    if lineage is not None and lineage.definitions[0].name != flavor.name:
        raise ImageTestError(
            f"{image} is an image of the repository, and not the flavor {flavor.name}",
            solution="Leave --flavor out, or name the image by its reference, such as "
            f"localhost/{lineage.definitions[0].name}:TAG.",
        )


def _built(
    engine: Engine, repository: Repository, image: str, variant: VariantOptions
) -> tuple[str, tuple[str, ...]]:
    """Return the name in the engine of the build to test, and what to know of the choice."""
    chosen = choose_build(repository, read_catalogue(repository), image, variant, engine=engine.kind)
    if chosen.build is None or not chosen.build.in_layout:
        return image if chosen.build is None else chosen.build.reference, chosen.notes
    # A container runs only what the engine's storage has.
    name = local_reference(chosen.build.image, chosen.build.tag)
    load_layout(engine, chosen.build.reference, name)
    return name, chosen.notes


def find_base(engine: Engine, subject: ImageUnderTest) -> BaseImage | None:
    """Return the image below this one, if the engine has it: its layers are this one's lowest."""
    candidates: list[str] = []
    for definition in subject.lineage.definitions[1:2]:
        candidates += definition.built_names
    if subject.definition is not None:
        candidates += [parent.image for parent in subject.definition.parents[:1]]
    # Last: an image without this label of its own has that of an image further below.
    candidates.append(subject.configuration.labels.get(BASE_LABEL, ""))
    for reference in dict.fromkeys(candidates):
        # Anybody may set a label: what it names is looked up only if it can be an image.
        found = find_image(engine, reference) if find_reference(reference) else None
        if found and found.layers and found.layers == subject.layers[: len(found.layers)]:
            return BaseImage(
                image_id=found.id,
                configuration=_configuration(found),
                history=history_of(engine, reference),
            )
    return None


def _find(engine: Engine, reference: str, images: Collection[str]) -> EngineImage:
    if (found := find_image(engine, reference)) is not None:
        return found
    is_reference = not images or "/" in reference or ":" in reference
    meant = "" if is_reference else f"{did_you_mean(reference, images, listing='factory list')} "
    raise ImageTestError(
        f"{engine.kind} does not have the image {reference}",
        solution=f"{meant}Build it with `factory build`, or get it with `{engine.kind} pull`: nothing is "
        "pulled for a test.",
    )


def _configuration(image: EngineImage) -> Configuration:
    config = image.config
    return Configuration(
        environment=dict(entry.partition("=")[::2] for entry in config.get("Env") or ()),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        user=config.get("User") or "",
        folder=config.get("WorkingDir") or "/",
        labels=image.labels,
    )


def _labelled(repository: Repository, name: str) -> Lineage | None:
    # A label is not a path, and must not be looked up as one.
    return lineage_of(repository, name) if re.fullmatch(PATH_COMPONENT, name) else None


def _name(lineage: Lineage, reference: str) -> str:
    """Return the name of the definition, else the last part of the reference without tag and digest."""
    if lineage.definitions:
        return lineage.definitions[0].name
    found = find_reference(reference)
    return "image" if found is None else found.name


def lineage_of(repository: Repository, name: str) -> Lineage | None:
    """Return the lineage of an image, by name or flavor path; None if the repository lacks it.

    Raises:
        SpecError: ``factory.toml`` or a flavor is not acceptable.
    """
    catalogue = read_catalogue(repository)
    if name not in catalogue.names and not (Path(name) / PROJECT_FILE).is_file():
        return None
    line = line_of(catalogue, name)
    kinds = tuple(kind for one in line for kind in _kinds(one.kind))
    return Lineage(
        definitions=line,
        kinds=tuple(dict.fromkeys(kinds)),
        folders=(*(one.folder / TESTS_FOLDER for one in line), *_shared(repository)),
        own_entrypoint=line[0].kind in _ENDS_OF_LINE and _sets_entrypoint(line),
    )


def labelled_lineage(configuration: Configuration, repository: Repository | None = None) -> Lineage | None:
    """Return the lineage of an image by what its own configuration says; None if it says nothing.

    A build labels an image with its kind, and a label stays in what is built on the image. An entry point
    that is torchrun is a trainer's.
    """
    labels = configuration.labels
    named = {kind: name for kind in _ORDER if (name := labels.get(f"{KIND_LABEL}{kind}"))}
    own = next((kind for kind, name in named.items() if name == labels.get(IMAGE_LABEL)), None)
    trains = PurePosixPath("".join(configuration.entrypoint[:1])).name == _TRAINER_ENTRYPOINT
    if own is None and not trains:
        return None
    first: Kind = own or "trainer"
    others = tuple(kind for kind in _ORDER if kind in named and kind != first)
    kinds = tuple(part for kind in (first, *others) for part in _kinds(kind))
    return Lineage(
        definitions=(),
        kinds=tuple(dict.fromkeys(kinds if named else (first, *_kinds("flavor")))),
        folders=_shared(repository),
        own_entrypoint=first == "launcher" or (first == "trainer" and trains),
    )


def foreign_lineage(repository: Repository | None = None) -> Lineage:
    """Return the lineage of an undefined image: it is tested as a universal training image."""
    return Lineage(definitions=(), kinds=_kinds("flavor"), folders=_shared(repository), known=False)


def _shared(repository: Repository | None) -> tuple[Path, ...]:
    return () if repository is None else (repository.root / SHARED_TESTS_FOLDER,)


def _sets_entrypoint(line: tuple[ImageDefinition, ...]) -> bool:
    """Return whether the nearest trainer or launcher that sets an entry point comes before other kinds."""
    ends = itertools.takewhile(lambda one: one.kind in _ENDS_OF_LINE, line)
    return any(sets_entrypoint(one) for one in ends)


def sets_entrypoint(definition: ImageDefinition) -> bool:
    """Return whether the Dockerfile sets the image's entry point; a missing one does not."""
    try:
        text = read_text(definition.folder / definition.dockerfile, errors="replace")
    except OSError:
        return False
    return any(instruction.name == "ENTRYPOINT" for instruction in read_dockerfile(text).final)


def line_of(catalogue: Catalogue, name: str) -> tuple[ImageDefinition, ...]:
    """Return an image and those parents of its final stage that the repository defines."""
    line = [catalogue.definition(name)]
    while (parent := line[-1].parents[0].image) in catalogue.names:
        line.append(catalogue.definition(parent))
    return tuple(line)


def _kinds(kind: Kind) -> tuple[Kind, ...]:
    """Return the kinds whose tests an image of a kind has: a flavor has its own PyTorch."""
    return ("flavor", "pytorch-base") if kind == "flavor" else (kind,)


def history_of(engine: Engine, image: str) -> tuple[HistoryStep, ...]:
    """Return the steps from the first on; none if the engine does not answer."""
    form = ("--format", "json") if engine.kind == "podman" else ("--no-trunc", "--format", "{{json .}}")
    said = call_engine(engine, "history", *form, operands=[Operand.image(image)])
    return parse_history(said.stdout) if said.status == 0 else ()


def parse_history(text: str) -> tuple[HistoryStep, ...]:
    """Read podman's JSON array, or docker's lines of JSON; both have the last step first."""
    if text.startswith("["):
        listed = parse_json(text, list[_PodmanStep], source=_SOURCE, error=ImageTestError)
        steps = [step_of(step.get("size") or 0, step.get("CreatedBy") or "") for step in listed]
    else:
        lines = [
            parse_json(line, _DockerStep, source=_SOURCE, error=ImageTestError)
            for line in text.split("\n")
            if line.strip()
        ]
        steps = [step_of(_bytes(step.get("Size", "0B")), step.get("CreatedBy", "")) for step in lines]
    return tuple(reversed(steps))


class _PodmanStep(TypedDict):
    size: NotRequired[Size | None]
    CreatedBy: NotRequired[str | None]


class _DockerStep(TypedDict):
    Size: NotRequired[str]
    CreatedBy: NotRequired[str]


def step_of(size: int, text: str) -> HistoryStep:
    """Return a step with what looks like a credential masked in its instruction."""
    found = [f"the value of {match[1]}" for match in _VALUE.finditer(text) if is_credential(*match.groups())]
    found += ["the login of a URL"] if LOGIN_IN_URL.search(text) else []
    hidden = masked(_VALUE.sub(_shown, text))
    return HistoryStep(size=size, text=hidden, credentials=tuple(dict.fromkeys(found)))


def inherited_steps(steps: tuple[HistoryStep, ...], base: tuple[HistoryStep, ...]) -> int:
    """Return how many steps are the base image's; 0 unless all of its own come first."""
    return len(base) if [step.text for step in steps[: len(base)]] == [step.text for step in base] else 0


def is_credential(name: str, value: str) -> bool:
    """Return whether a variable is a credential, by its name and a non-trivial value.

    The login of a URL counts, whatever the name.
    """
    bare = value.strip("\"'")
    if LOGIN_IN_URL.search(bare):
        return True
    return bool(_SECRET_NAME.fullmatch(name)) and not _PLAIN.fullmatch(bare)


def _shown(match: re.Match[str]) -> str:
    # More is masked than is called a credential: a report is for everybody.
    return match[0] if _PLAIN.fullmatch(match[2].strip("\"'")) else f"{match[1]}={HIDDEN}"


def _bytes(shown: str) -> int:
    """Return the bytes of a size as docker shows it (``1.46GB``), in decimal units."""
    units = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}
    unit = next((unit for unit in units if shown.endswith(unit)), None)
    return round(float(shown.removesuffix(unit)) * units[unit]) if unit else 0
