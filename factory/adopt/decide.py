"""Decide the spec of a hand-made folder: the options, else its files' most reliable evidence."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from factory.adopt import evidence
from factory.adopt.evidence import AdoptOptions, FolderContent
from factory.adopt.folder import Evidence
from factory.adopt.installs import unversioned
from factory.adopt.placement import printable
from factory.dockerfile.references import check_accelerator_version, check_image, check_python, check_version
from factory.errors import SpecError
from factory.flavor.spec import (
    ACCELERATORS,
    DEFAULT_PLATFORMS,
    DEFAULT_TEMPLATE_SET,
    Spec,
    check_name,
    check_spec,
)
from factory.index.configured import PYTHON_PACKAGE_INDEX
from factory.masking import shown
from factory.render.create import default_image
from factory.render.templates import load_template_set


@dataclass(frozen=True, kw_only=True)
class SpecOrigin:
    """A key of the spec, its value (None if left out), and its source."""

    key: str
    value: str | None
    where: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The spec without hooks, the source of each value, and what contradicts it."""

    spec: Spec
    origins: tuple[SpecOrigin, ...]
    notes: tuple[str, ...]


@dataclass(kw_only=True)
class _Choice:
    """The values chosen so far; ``missing`` are keys without one, each with the reason."""

    origins: dict[str, SpecOrigin]
    notes: list[str]
    missing: dict[str, str]

    def choose(
        self,
        key: str,
        option: str | None,
        found: Iterable[Evidence],
        check: Callable[[str], object],
        *,
        near: Evidence | None = None,
    ) -> str | None:
        """Return the option, else the first acceptable value; note others that differ.

        ``near`` is insufficient evidence, for the error.
        """
        given = [] if option is None else [Evidence(value=option, where=f"--{key}")]
        candidates: list[Evidence] = list(given)
        unfit = ""
        for each in found:
            try:
                check(each.value)
            except SpecError as error:
                unfit = unfit or f"{each.where}: {printable(error.reason)}"
                continue
            candidates.append(each)
        if not candidates:
            said = f"{near.where} {printable(near.value)}" if near is not None else ""
            self.missing[key] = unfit or said or "nothing in the folder says it"
            return None
        chosen = candidates[0]
        self.origins[key] = SpecOrigin(key=key, value=chosen.value, where=chosen.where)
        others = dict.fromkeys(
            f"{each.where} says {each.value}" for each in candidates if each.value != chosen.value
        )
        if others:
            self.notes.append(f"{key} is {chosen.value} ({chosen.where}), though {'; '.join(others)}")
        return chosen.value


def decide_spec(sources: FolderContent, wanted: AdoptOptions) -> Decision:
    """Decide the spec.

    Raises:
        SpecError: values are missing, each named with its option; or an option, or a found value,
            is not acceptable.
    """
    choice = _Choice(origins={}, notes=[], missing={})
    accelerator = choice.choose(
        "accelerator", wanted.accelerator, evidence.accelerators(sources), _accelerator
    )
    version = None
    if accelerator is not None and accelerator != "cpu":
        found = evidence.accelerator_versions(sources, accelerator)
        version = choice.choose(
            "accelerator-version", wanted.accelerator_version, found, check_accelerator_version
        )
    torch, training_hub = (
        choice.choose(
            package,
            option,
            evidence.package_versions(sources, package),
            lambda value: check_version(value, of="it"),
            near=unversioned(sources.installs, package),
        )
        for package, option in (("torch", wanted.torch), ("training-hub", wanted.training_hub))
    )
    python = choice.choose("python", wanted.python, evidence.pythons(sources), check_python)
    base = choice.choose("base-image", wanted.base_image, _image(sources, downstream=False), _base_image)
    downstream = _downstream(sources, wanted, choice, accelerator, python)
    if accelerator is not None and wanted.accelerator is None:
        _require_build_for(sources, choice.origins["accelerator"])
    if choice.missing or not (accelerator and torch and training_hub and python and base and downstream):
        raise _missing(choice, sources)
    index_url = _index(sources, wanted, choice)
    spec = check_spec(
        Spec(
            accelerator=accelerator,
            accelerator_version=version if accelerator != "cpu" else wanted.accelerator_version,
            torch=torch,
            python=python,
            training_hub=training_hub,
            index_url=index_url,
            platforms=_platforms(sources, wanted, choice),
            base_image=base,
            downstream_base_image=downstream,
            indexes=tuple(each.index for each in sources.further),
        )
    )
    choice.notes += [*_builds_that_change(sources, index_url), *_of_indexes(sources)]
    if wanted.name is not None and check_name(wanted.name) != spec.derived_name:
        spec = replace(spec, name=wanted.name)
    called = sources.folder.root.name
    if called != spec.folder_name:
        choice.notes.append(
            f"the folder is called {called}, and what it holds is {spec.folder_name}: what it holds counts"
        )
    return Decision(spec=spec, origins=tuple(choice.origins.values()), notes=tuple(choice.notes))


def _require_build_for(sources: FolderContent, accelerator: SpecOrigin) -> None:
    """Refuse a folder whose torch is built for another accelerator than its other files say.

    Raises:
        SpecError: it is; the message names the option that decides.
    """
    builds = list(evidence.torch_builds(sources))
    if builds and accelerator.value not in {each.value for each in builds}:
        said = builds[0]
        raise SpecError(
            f"{accelerator.where} says {accelerator.value}, and {said.where} pins torch for {said.value}",
            solution=f"Give the one that the image is for: --accelerator {accelerator.value} or "
            f"--accelerator {said.value}",
        )


def _builds_that_change(sources: FolderContent, index_url: str | None) -> Iterator[str]:
    """Yield a note on pins with local versions, which the public index lacks."""
    pins = sources.lock.pins if sources.lock is not None and index_url is None else ()
    local = [f"{pin.name}=={pin.version}" for pin in pins if pin.version is not None and "+" in pin.version]
    if local:
        yield (
            f"{', '.join(local)}: the public index has no such builds, and `factory lock` takes no other "
            "without --allow-other-build. Name the index that has them: --index-url for all, or an entry "
            "of [[tool.factory.indexes]] for these packages alone"
        )


def _of_indexes(sources: FolderContent) -> Iterator[str]:
    """Yield a note on each index of named packages."""
    for each in sources.further:
        names, verb = ", ".join(each.index.packages), "come" if len(each.index.packages) > 1 else "comes"
        yield (
            f"{each.lock.path} names another index, {each.index.url}: {names} {verb} "
            f"from there and from nowhere else, as index {each.index.name!r} (field notes 5 and 35)"
        )


def _accelerator(value: str) -> None:
    if value not in ACCELERATORS:
        raise SpecError(f"{value!r} is not an accelerator", solution=f"Use one of {', '.join(ACCELERATORS)}.")


def _base_image(value: str) -> None:
    check_image(value, of="base-image")


def _image(sources: FolderContent, *, downstream: bool) -> list[Evidence]:
    dockerfile = sources.downstream if downstream else sources.dockerfile
    image = dockerfile.base_image if dockerfile else None
    return (
        []
        if dockerfile is None or image is None
        else [Evidence(value=image, where=f"{dockerfile.path}, FROM")]
    )


def _downstream(
    sources: FolderContent, wanted: AdoptOptions, choice: _Choice, accelerator: str | None, python: str | None
) -> str | None:
    found = _image(sources, downstream=True)
    if not found and wanted.downstream_base_image is None and accelerator and python:
        template_set = load_template_set(DEFAULT_TEMPLATE_SET)
        default = default_image(template_set, accelerator, python, "downstream-base-image")
        found = [
            Evidence(value=default, where="the default of the template set: no Dockerfile.konflux says it")
        ]
        choice.notes.append(f"downstream-base-image is the default, {default}: nothing in the folder says it")
    return choice.choose("downstream-base-image", wanted.downstream_base_image, found, _base_image)


def _index(sources: FolderContent, wanted: AdoptOptions, choice: _Choice) -> str | None:
    found: list[Evidence] = []
    for each in evidence.index_urls(sources):
        try:
            bare = shown(each.value)
        except ValueError:
            choice.notes.append(f"{each.where} names an index whose URL cannot be parsed")
            continue
        if bare != each.value:
            choice.notes.append(
                f"{each.where}: the index URL of {bare} held credentials or a query, which were left out. "
                "Change the password; credentials go into ~/.netrc"
            )
        found.append(Evidence(value=bare, where=each.where))
    further = {each.index.url.rstrip("/") for each in sources.further}
    found = [each for each in found if each.value.rstrip("/") not in further]
    same = {each.value.rstrip("/"): each.value for each in reversed(found)}
    found = [Evidence(value=same[each.value.rstrip("/")], where=each.where) for each in found]
    if wanted.index_url is None and not found:
        where = "no file names an index for the rest" if sources.further else "no file names an index"
        choice.origins["index-url"] = SpecOrigin(key="index-url", value=None, where=where)
        choice.notes.append(f"{where}: the flavor is locked against the public one (field note 1)")
        return None
    url = choice.choose("index-url", wanted.index_url, found, lambda _url: None)
    if url is not None and url.rstrip("/") == PYTHON_PACKAGE_INDEX.rstrip("/"):
        where = choice.origins["index-url"].where
        choice.origins["index-url"] = SpecOrigin(
            key="index-url", value=None, where=f"{where}: the public index"
        )
        return None
    return url


def _platforms(sources: FolderContent, wanted: AdoptOptions, choice: _Choice) -> tuple[str, ...]:
    found = evidence.platforms(sources)
    platforms, where = (
        (wanted.platforms, "--platform")
        if wanted.platforms
        else (found, "the command that made the lock")
        if found
        else (DEFAULT_PLATFORMS, "the default")
    )
    choice.origins["platforms"] = SpecOrigin(key="platforms", value=", ".join(platforms), where=where)
    return platforms


def _missing(choice: _Choice, sources: FolderContent) -> SpecError:
    lacking = "; ".join(f"{key} ({why})" for key, why in choice.missing.items())
    accelerator = choice.origins.get("accelerator")
    examples = _EXAMPLES_OF_ROCM if accelerator and accelerator.value == "rocm" else _EXAMPLES
    options = " ".join(f"--{key} {examples[key]}" for key in choice.missing)
    return SpecError(
        f"{sources.folder.root} does not say all that a spec needs: {lacking}",
        solution=f"Give what is missing: {options}",
    )


_EXAMPLES = {
    "accelerator": "|".join(ACCELERATORS),
    "accelerator-version": "13.0",
    "torch": "2.11.0",
    "python": "3.12",
    "training-hub": "0.9.2",
    "base-image": "REF",
    "downstream-base-image": "REF",
}
_EXAMPLES_OF_ROCM = _EXAMPLES | {"accelerator-version": "7.14"}
