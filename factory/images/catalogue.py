"""The images of a repository: its flavors, and ``[flavors]`` and ``[images]`` of ``factory.toml``."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal, get_args

from factory.dockerfile.references import check_image
from factory.documents import TableReader
from factory.errors import FactoryError
from factory.flavor.kinds import (
    BASE_IMAGE,
    IMAGES_TABLE,
    Kind,
    Parent,
    check_image_name,
    declared_image,
    image_tables,
    read_argument,
    settings_table,
)
from factory.flavor.project import PROJECT_FILE, ImageFolder
from factory.flavor.repository import Flavor, Repository
from factory.images.definitions import (
    DOCKERFILE,
    DOWNSTREAM_DOCKERFILE,
    DOWNSTREAM_TAG,
    MIDSTREAM_TAG,
    BuilderName,
    ImageDefinition,
    TestLevel,
    Variant,
)
from factory.images.mirrors import LocalSettings, check_builder, read_local
from factory.pages import docs_command
from factory.registry.declared import Registry, parse_registries
from factory.settings import read_settings

FLAVORS_TABLE = "flavors"
_LEVELS: tuple[TestLevel, ...] = get_args(TestLevel)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LIKE_AN_IDENTITY = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{48})?")


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """The settings of one image, or of all flavors; None or empty for what is not set.

    ``registry`` is False if the image has none, whatever is set for all flavors.
    """

    kind: Kind | None = None
    parents: tuple[Parent, ...] = ()
    inputs: tuple[str, ...] | None = None
    build_args: tuple[tuple[str, str], ...] = ()
    registry: str | Literal[False] | None = None
    tests: TestLevel | None = None
    downstream: bool | None = None
    builder: BuilderName | None = None
    moving_tag: str | None = None


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The images of a repository. A flavor's spec is read only when its definition is asked for.

    registries: The declared registries, by name.
    flavors: The flavors, by name.
    images: The folders of all images, by name.
    tables: The settings of single images, by name.
    flavor_defaults: The settings of every flavor.
    local: The mirrors, and the builder of the images that either can build.
    """

    repository: Repository
    registries: Mapping[str, Registry]
    flavors: Mapping[str, Flavor]
    images: Mapping[str, ImageFolder]
    tables: Mapping[str, ImageTable]
    flavor_defaults: ImageTable
    local: LocalSettings = field(default_factory=LocalSettings)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all images, sorted."""
        return tuple(sorted({*self.flavors, *self.tables}))

    def definition(self, name_or_path: str) -> ImageDefinition:
        """Return an image by its name or by the path of its folder.

        Raises:
            NotFoundError: there is no such image.
            SpecError: its spec or its settings are not acceptable.
        """
        if name_or_path in self.flavors:
            return self._flavor(self.flavors[name_or_path])
        if name_or_path in self.tables:
            return self._other(name_or_path, self.tables[name_or_path])
        image = self.repository.image(name_or_path)
        return self._flavor(image) if image.is_flavor else self._other(image.name, self.tables[image.name])

    def select(
        self, names: tuple[str, ...] = (), *, include_broken: bool = False
    ) -> tuple[ImageDefinition, ...]:
        """Return the named images, each once and in that order; every image if none is named.

        Args:
            names: Names, or paths of folders.
            include_broken: When every image is returned, include flavors that cannot be read, each with its
                ``problem``.

        Raises:
            NotFoundError, SpecError: as `definition`.
        """
        read = self._possibly_broken if include_broken and not names else self.definition
        found = (read(name) for name in names or self.names)
        return tuple({definition.name: definition for definition in found}.values())

    def _possibly_broken(self, name: str) -> ImageDefinition:
        try:
            return self.definition(name)
        except FactoryError as error:
            if name not in self.flavors:
                raise
            flavor = self.flavors[name]
            return ImageDefinition(
                name=name,
                kind="flavor",
                folder=flavor.folder,
                dockerfile=DOCKERFILE,
                parents=(),
                flavor=flavor,
                packages=flavor,
                problem=error.reason,
            )

    def changed(
        self,
        definition: ImageDefinition,
        *,
        downstream: bool | None = None,
        base_image: str | None = None,
        builder: BuilderName | None = None,
    ) -> ImageDefinition:
        """Return another variant of an image: its definition with the options of one command applied.

        Args:
            definition: The image.
            downstream: Downstream or midstream; None for what the settings say. If that is something else,
                its moving tag becomes ``downstream`` or ``midstream``. Without effect on an image that is
                the same in both.
            base_image: Replaces the first parent.
            builder: What builds it; None for what the settings say.

        Raises:
            SpecError: the base image is not an image reference.
        """
        if definition.problem:  # a flavor that cannot be read has no parents, and one variant
            return definition
        result = definition
        if downstream is not None and definition.variant.downstream not in {None, downstream}:
            result = self._of_stream(definition, downstream=downstream)
        variant = replace(result.variant, builder=builder or result.variant.builder)
        first, *others = result.parents
        if base_image is not None and base_image != first.image:
            check_image(base_image, of="the base image")
            stand_in = any(one.stand_in and one.image == base_image for one in self.local.mirrors)
            first = Parent(argument=first.argument, image=base_image, stand_in=stand_in)
            variant = replace(variant, base_image=base_image)
        return replace(result, parents=(first, *others), variant=variant)

    def _of_stream(self, definition: ImageDefinition, *, downstream: bool) -> ImageDefinition:
        flavor, tag = definition.flavor, DOWNSTREAM_TAG if downstream else MIDSTREAM_TAG
        if definition.kind == "flavor" and flavor is not None:
            own, changed = self._flavor(flavor), self._flavor(flavor, downstream=downstream)
        else:
            own = self._other(definition.name, self.tables[definition.name])
            changed = replace(own, variant=replace(own.variant, downstream=downstream))
        return own if own.variant == changed.variant else replace(changed, moving_tag=tag)

    def _flavor(self, flavor: Flavor, *, downstream: bool | None = None) -> ImageDefinition:
        check_image_name(flavor.name, of=f"the flavor in {flavor.folder}")
        own, common = self.tables.get(flavor.name, ImageTable()), self.flavor_defaults
        declared = common.downstream if own.downstream is None else own.downstream
        downstream = bool(declared) if downstream is None else downstream
        parents = own.parents
        if BASE_IMAGE not in {parent.argument for parent in parents}:
            spec = flavor.project.spec
            base = spec.downstream_base_image if downstream else spec.base_image
            parents = (Parent(argument=BASE_IMAGE, image=base), *parents)
        wanted = own.builder or self.local.builder or "engine"
        return ImageDefinition(
            name=flavor.name,
            kind="flavor",
            folder=flavor.folder,
            dockerfile=DOWNSTREAM_DOCKERFILE if downstream else DOCKERFILE,
            parents=tuple(map(self._mirrored, parents)),
            inputs=own.inputs,
            build_args=own.build_args,
            registry=(common.registry if own.registry is None else own.registry) or None,
            tests=own.tests or common.tests or ImageDefinition.tests,
            moving_tag=own.moving_tag or common.moving_tag or ImageDefinition.moving_tag,
            flavor=flavor,
            packages=flavor,
            # A midstream build installs system packages, which only the engine does.
            variant=Variant(downstream=downstream, builder=wanted if downstream else "engine"),
            declared=declared is not None,
        )

    def _other(self, name: str, table: ImageTable) -> ImageDefinition:
        downstream, declared = self._inherited_stream(name)
        image = self.images[name]
        return ImageDefinition(
            name=name,
            kind=table.kind or "stack",
            folder=image.folder,
            packages=image if image.has_packages else None,
            dockerfile=DOCKERFILE,
            parents=tuple(map(self._mirrored, table.parents)),
            inputs=table.inputs,
            build_args=table.build_args,
            registry=table.registry or None,
            tests=table.tests or ImageDefinition.tests,
            moving_tag=table.moving_tag or ImageDefinition.moving_tag,
            variant=Variant(downstream=downstream),
            declared=declared,
        )

    def _inherited_stream(self, name: str) -> tuple[bool | None, bool]:
        """Return whether an image is built on downstream flavors (None without any), and is declared so."""
        table = self.tables.get(name, ImageTable())
        if name in self.flavors:
            own = self.flavor_defaults.downstream if table.downstream is None else table.downstream
            return bool(own), own is not None
        found = [self._inherited_stream(parent.image) for parent in table.parents if not parent.is_reference]
        streams = {downstream for downstream, _ in found if downstream is not None}
        return (True in streams if streams else None), any(declared for _, declared in found)

    def _mirrored(self, parent: Parent) -> Parent:
        """Return a parent with the mirror that is used in its place, if there is one."""
        mirror = self.local.mirror_of(parent.image) if parent.is_reference else None
        image = None if mirror is None else mirror.replaces(parent.image)
        if mirror is None or image is None:
            return parent
        return replace(parent, image=image, origin=parent.image, stand_in=mirror.stand_in)


def read_catalogue(repository: Repository) -> Catalogue:
    """Read which images a repository has; specs are not read yet.

    Raises:
        SpecError: a setting in ``factory.toml`` is not acceptable: an unknown kind, parent or registry, a
            missing folder, two images of one name, a cycle of parents, a pattern that leaves the folder.
        StorageError: the file system refused.
    """
    document = read_settings(repository.root)
    registries = parse_registries(document)
    # A flavor given by its path may be in no repository.
    found = repository.flavors() if repository.flavors_folder.is_dir() else ()
    flavors = {flavor.name: flavor for flavor in found if (flavor.folder / PROJECT_FILE).exists()}
    tables = read_images_table(document, registries=registries, flavors=flavors)
    images = {image.name: image for image in repository.images()}
    return Catalogue(
        repository=repository,
        registries=registries,
        flavors=flavors,
        images=images,
        tables=tables,
        flavor_defaults=_read_flavors_table(document, registries=registries),
        local=read_local(repository.root, document),
    )


def _read_flavors_table(document: Mapping[str, object], *, registries: Collection[str]) -> ImageTable:
    table = settings_table(document.get(FLAVORS_TABLE, {}), FLAVORS_TABLE)
    settings = ImageTable(
        registry=_registry(table, registries),
        tests=_level(table),
        downstream=_downstream(table),
        moving_tag=_moving_tag(table),
    )
    table.refuse_the_rest()
    return settings


def read_images_table(
    document: Mapping[str, object], *, registries: Collection[str], flavors: Collection[str]
) -> dict[str, ImageTable]:
    """Return the settings of each image in ``[images]``.

    Args:
        document: ``factory.toml`` as data.
        registries: The names of the declared registries.
        flavors: The names of the flavors.

    Raises:
        SpecError: a key is unknown, of the wrong type or not acceptable.
    """
    content = image_tables(document)
    images = {*content, *flavors}
    return {name: _image(name, settings, registries, flavors, images) for name, settings in content.items()}


def _image(
    name: str,
    content: object,
    registries: Collection[str],
    flavors: Collection[str],
    images: Collection[str],
) -> ImageTable:
    table = settings_table(content, f"{IMAGES_TABLE}.{name}")
    declared = declared_image(table, name, flavors, images)
    inputs = _inputs(table)
    settings = ImageTable(
        kind=declared.kind,
        parents=declared.parents,
        inputs=inputs if "inputs" in table.keys else None,
        build_args=_build_args(table, declared.parents),
        registry=_registry_or_none(table, content, registries),
        tests=_level(table),
        downstream=_downstream(table) if declared.kind == "flavor" else None,
        builder=_builder(table) if declared.kind == "flavor" else None,
        moving_tag=_moving_tag(table),
    )
    table.refuse_the_rest()
    return settings


def _build_args(table: TableReader, parents: tuple[Parent, ...]) -> tuple[tuple[str, str], ...]:
    found = table.named_texts("build-args")
    for name, _ in found:
        read_argument(table, "build-args", name)
        if name in {parent.argument for parent in parents} | {BASE_IMAGE}:
            raise table.refuse("build-args", f"{name} names a parent", "Give it in parents alone.")
    return found


def _inputs(table: TableReader) -> tuple[str, ...]:
    patterns = table.texts("inputs")
    for pattern in patterns:
        path = PurePosixPath(pattern)
        if path.is_absolute() or ".." in path.parts:
            raise table.refuse(
                "inputs",
                f"{pattern!r} leaves the folder",
                "Write patterns relative to the image's folder, such as src/**: a build sees nothing else.",
            )
        if (
            not pattern.strip()
            or "\\" in pattern
            or any("**" in part and part != "**" for part in path.parts)
        ):
            raise table.refuse(
                "inputs", f"{pattern!r} is not a pattern", "Write, for instance, *.txt or src/**."
            )
    return patterns


def _registry_or_none(
    table: TableReader, content: object, registries: Collection[str]
) -> str | Literal[False] | None:
    if not (isinstance(content, dict) and isinstance(content.get("registry"), bool)):
        return _registry(table, registries)
    if table.flag("registry", default=False):
        raise table.refuse(
            "registry",
            "true is not a name",
            'Write registry = "NAME", or false for an image that has none.',
        )
    return False


def _registry(table: TableReader, registries: Collection[str]) -> str | None:
    name = table.optional_text("registry")
    if name is not None and name not in registries:
        raise table.refuse(
            "registry",
            f"{name!r} is not declared",
            f"Name a declared one ({', '.join(registries) or 'none yet'}), or declare it as "
            f"[registries.{name}]; {docs_command('registries')} shows a whole table.",
        )
    return name


def _level(table: TableReader) -> TestLevel | None:
    given = table.optional_text("tests")
    level = next((known for known in _LEVELS if known == given), None)
    if given is not None and level is None:
        raise table.refuse("tests", f"{given!r} is not a level of tests", f"Use one of {', '.join(_LEVELS)}.")
    return level


def _downstream(table: TableReader) -> bool | None:
    flag = table.flag("downstream", default=False)
    return flag if "downstream" in table.keys else None


def _builder(table: TableReader) -> BuilderName | None:
    given = table.optional_text("builder")
    builder = check_builder(given)
    if given is not None and builder is None:
        raise table.refuse("builder", f"{given!r} is no builder", "Use engine, or layout.")
    return builder


def _moving_tag(table: TableReader) -> str | None:
    tag = table.optional_text("moving-tag")
    if tag is not None and (not _TAG.fullmatch(tag) or _LIKE_AN_IDENTITY.fullmatch(tag)):
        raise table.refuse(
            "moving-tag",
            f"{tag!r} cannot be one",
            "Use letters, digits, dots, underscores and hyphens, such as latest; 16 hex digits are what the "
            "tag of an identity looks like.",
        )
    return tag
