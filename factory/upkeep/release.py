"""A release that flavors move to: its indexes and base images, put into a spec."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from factory.errors import SpecError
from factory.flavor.indexes import MAIN_INDEX
from factory.flavor.repository import Flavor
from factory.flavor.spec import Spec, check_spec
from factory.masking import shown


@dataclass(frozen=True, kw_only=True)
class Release:
    """Where flavors move to; None is what a flavor has. ``indexes`` are URLs of further ones by name."""

    index_url: str | None = None
    indexes: Mapping[str, str] = field(default_factory=dict)
    base_image: str | None = None
    downstream_base_image: str | None = None


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A key of the spec that changes. ``before`` is None for the public index."""

    key: str
    before: str | None
    after: str
    is_index: bool


def read_release(
    *,
    index_url: str | None,
    indexes: Sequence[str],
    base_image: str | None,
    downstream_base_image: str | None,
) -> Release:
    """A release from its words; ``indexes`` are NAME=URL.

    Raises:
        SpecError: nothing was given, or an index not as NAME=URL, or one twice.
    """
    further: dict[str, str] = {}
    for text in indexes:
        name, equals, url = text.partition("=")
        if not equals or not url or name in further or name == MAIN_INDEX:
            raise SpecError(
                f"the index {name!r} is not given once, as NAME=URL",
                solution="Write the name that it has in [[tool.factory.indexes]], = and its new URL; "
                "the main one is --index-url.",
            )
        further[name] = url
    release = Release(
        index_url=index_url,
        indexes=further,
        base_image=base_image,
        downstream_base_image=downstream_base_image,
    )
    if release == Release():
        raise SpecError(
            "nothing was given that the flavors could move to",
            solution="Give --index-url, --index, --base-image or --downstream-base-image.",
        )
    return release


def with_release(spec: Spec, release: Release, *, flavor: str) -> Spec:
    """The spec of a flavor at a release.

    Raises:
        SpecError: a value is not acceptable, or the flavor has no index of that name.
    """
    known = [index.name for index in spec.indexes]
    for name in release.indexes:
        if name not in known:
            raise SpecError(
                f"{flavor} has no further index {name!r}",
                solution=f"Name one of {', '.join(known)}." if known else "Leave --index out.",
            )
    return check_spec(
        replace(
            spec,
            index_url=_given_url(release.index_url, spec.index_url),
            base_image=_given(release.base_image, spec.base_image) or "",
            downstream_base_image=_given(release.downstream_base_image, spec.downstream_base_image) or "",
            indexes=tuple(
                replace(index, url=_given_url(release.indexes.get(index.name), index.url) or "")
                for index in spec.indexes
            ),
        )
    )


def moved_keys(old: Spec, new: Spec) -> tuple[Moved, ...]:
    """What differs between two specs of a flavor, as far as a release changes it."""
    indexes = [
        ("index-url" if name == MAIN_INDEX else f"index {name}", old.url_of(name), new.url_of(name))
        for name in new.index_names
    ]
    images = [
        ("base-image", old.base_image, new.base_image),
        ("downstream-base-image", old.downstream_base_image, new.downstream_base_image),
    ]
    found = [
        Moved(key=key, before=None if before is None else shown(before), after=shown(after), is_index=True)
        for key, before, after in indexes
        if after is not None and before != after
    ]
    found += [
        Moved(key=key, before=before, after=after, is_index=False)
        for key, before, after in images
        if before != after
    ]
    return tuple(found)


def refuse_mixture(flavors: Sequence[Flavor], release: Release) -> None:
    """Refuse one value for flavors of different accelerators or Pythons that have different ones now.

    Raises:
        SpecError: that is asked for; a CPU flavor with the index of CUDA locks, and does not run.
    """
    specs = [flavor.project.spec for flavor in flavors]
    if len({(spec.accelerator, spec.accelerator_version, spec.python) for spec in specs}) == 1:
        return
    given = (
        ("--index-url", release.index_url, {spec.index_url for spec in specs}),
        ("--base-image", release.base_image, {spec.base_image for spec in specs}),
        (
            "--downstream-base-image",
            release.downstream_base_image,
            {spec.downstream_base_image for spec in specs},
        ),
    )
    for option, value, present in given:
        if value is not None and len(present) > 1:
            raise SpecError(
                f"{option} is one for {' and '.join(flavor.name for flavor in flavors)}, which are for "
                "different accelerators or Pythons and each have their own now",
                solution="Promote them one by one, each with what is made for it.",
            )


def _given(value: str | None, present: str | None) -> str | None:
    """What was given, an empty text included: that is for the checks to refuse."""
    return present if value is None else value


def _given_url(value: str | None, present: str | None) -> str | None:
    """As `_given`; a URL that differs in a slash at its end only is the one that is there."""
    if value and present and value.rstrip("/") == present.rstrip("/"):
        return present
    return _given(value, present)
