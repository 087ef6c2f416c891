"""Place each instruction of a hand-made Dockerfile once, and fill the hooks."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from factory.adopt.commands import is_install
from factory.adopt.dockerfile import OldDockerfile, OldInstruction
from factory.adopt.draft import NO_RELATIVE, WORKDIR, Around, Draft, HookName
from factory.adopt.folder import Folder, repository_problem
from factory.adopt.installs import INDEX_VARIABLES, NamedInstall, index_key, not_taken_over, read_calls
from factory.adopt.placement import Placement, has_credentials, not_kept, placed, printable
from factory.adopt.run import only_installs, place_builder_run, place_run
from factory.adopt.template import TemplateContent
from factory.check.dockerfiles import check_instruction
from factory.check.indexes import second_indexes
from factory.check.installs import is_remote
from factory.dockerfile.instructions import pair_text, read_instructions, references
from factory.errors import SpecError
from factory.flavor.hooks import check_instructions, check_own_file, check_variable
from factory.masking import shown

_AS_1001 = frozenset({"1001", "1001:0", "1001:1001", "default", "${NB_USER}", "$NB_USER"})
# Options of pip and uv that allow other files than the usual ones.
_CHOOSES = re.compile(
    r"--(?:pre|prerelease|no-binary|no-build-isolation|find-links|compile-bytecode)(?:=|$)|-f"
)
_STRATEGY = re.compile(r"unsafe-(?:best|first)-match")
# The template's end of an image, and what to do if the folder's ended differently.
_ENDS = {
    "USER": (
        "runs as user 1001",
        "Nothing, where that is right. OpenShift gives a user of its own in any case, with group 0.",
    ),
    "WORKDIR": (
        f"starts in {WORKDIR}",
        "Nothing, where that is right. Where a command relies on the other folder, name it in full.",
    ),
}
_PLAIN = frozenset({"EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "VOLUME"})
_WITHOUT_PLACE = {
    "SHELL": (
        "podman ignores it in OCI images, and docker does not",
        "Say in the RUN instruction itself what it needs, such as set -o pipefail.",
    ),
    "ONBUILD": (
        "it runs in builds on top of this image, which the template does not provide for",
        "Do it there.",
    ),
    "MAINTAINER": ("it is deprecated", "Write a LABEL in hooks.after-install."),
}
_ENTRY_POINT = "/usr/local/bin/entrypoint-universal.sh"
_START = frozenset({"", "[]", '[""]', "start-notebook.sh", '["start-notebook.sh"]'})


def place_dockerfile(
    dockerfile: OldDockerfile, folder: Folder, template: TemplateContent
) -> tuple[tuple[Placement, ...], Draft]:
    """Place every instruction of the midstream Dockerfile; the draft holds the hooks."""
    draft = Draft()
    for step in (each for each in dockerfile.steps if each.stage < 0):
        _declare(step, draft)
    base = Around(folder=folder, template=template, draft=draft, copied=_copied_stages(dockerfile))
    inside = dockerfile.in_image
    install = next((step for step in dockerfile.steps if inside(step) and _installs(step)), None)
    found: dict[int, Placement] = {}
    for number, step, user, workdir in _in_context(dockerfile):
        if not inside(step) or step.name == "FROM":
            if step.name != "ARG":
                found[number] = _outer(step, dockerfile, base)
            continue
        if step.name in {"RUN", "COPY"} and step.normal in template.instructions:
            found[number] = placed(step, "template", "its own text")
            continue
        if step.name in {"USER", "WORKDIR", "ARG"} and step.first_word != "ONBUILD":
            _declare(step, draft)
            continue
        hook: HookName = "midstream" if step.in_block else _hook(step, install)
        found[number] = _checked(step, replace(base, hook=hook, user=user, workdir=workdir))
    for number, step in enumerate(dockerfile.steps):
        if number not in found:
            found[number] = _surrounding(step, dockerfile, draft)
    placements = tuple(found[number] for number in range(len(dockerfile.steps)))
    return _with_lost_files(dockerfile, placements, draft), draft


def place_downstream(
    downstream: OldDockerfile,
    midstream: tuple[tuple[OldInstruction, Placement], ...],
    draft: Draft,
    folder: Folder,
    template: TemplateContent,
) -> tuple[Placement, ...]:
    """Place every instruction of a hand-copied downstream Dockerfile: one text serves both builds.

    An instruction that the midstream one has outside of its blocks is placed with that one; an instruction
    that only this one has and the template does not do has no place. Packages that only this one installs by
    name are added to the draft, since both builds install one lock.
    """
    known = {step.normal: placement for step, placement in midstream if not step.in_block}
    placements, own = place_dockerfile(downstream, folder, template)
    for name, step in own.requirements.items():
        if step.normal not in known:
            draft.requirements.setdefault(name, step)
    return tuple(
        _downstream(step, placement, known.get(step.normal))
        for step, placement in zip(downstream.steps, placements, strict=True)
    )


def _downstream(step: OldInstruction, placement: Placement, midstream: Placement | None) -> Placement:
    if placement.to == "base-image":
        return replace(placement, to="downstream-base-image")
    if midstream is not None:
        found = placed(step, midstream.place, midstream.to, f"as line {midstream.line} of {midstream.path}")
        return replace(found, what=midstream.what, solution=midstream.solution, repeats=midstream.path)
    if placement.place in {"template", "not kept"} or placement.to == "dependencies":
        return placement
    alone = not_kept(
        step,
        "only the downstream Dockerfile has it, and one text makes both",
        "Where both builds should have it, put it into the hooks.",
    )
    return replace(alone, what=placement.what)


def _copied_stages(dockerfile: OldDockerfile) -> frozenset[int]:
    """Return the stages, by number, whose installed packages a COPY brings into the image."""
    numbers = {stage.name: number for number, stage in enumerate(dockerfile.content.stages) if stage.name}
    copying = (step for step in dockerfile.steps if dockerfile.in_image(step) and copies_packages(step))
    origins = (origin for step in copying for origin in step.instruction.origins)
    return frozenset(
        int(origin) if origin.isdigit() else numbers.get(origin.lower(), -1) for origin in origins
    )


def _with_lost_files(
    dockerfile: OldDockerfile, placements: tuple[Placement, ...], draft: Draft
) -> tuple[Placement, ...]:
    """Note on each kept RUN which of its files are no longer copied."""
    lost: dict[str, Placement] = {}
    for step, placement in zip(dockerfile.steps, placements, strict=True):
        for source in step.instruction.sources if placement.place != "hook" else ():
            if name := source.rstrip("/").rpartition("/")[2].strip("."):
                lost[name] = placement
    texts = {id(kept.step): kept.text for kept in draft.kept() if kept.step.name == "RUN"}
    found: list[Placement] = []
    for step, placement in zip(dockerfile.steps, placements, strict=True):
        words = set(re.findall(r"[\w.-]+", texts.get(id(step), "")))
        missing = [f"{name} is not copied as in line {lost[name].line}" for name in lost if name in words]
        why = "; ".join((*filter(None, [placement.why]), *missing))
        found.append(replace(placement, why=why) if missing else placement)
    return tuple(found)


def _in_context(
    dockerfile: OldDockerfile,
) -> Iterator[tuple[int, OldInstruction, OldInstruction | None, tuple[OldInstruction, ...]]]:
    """Yield each step with its number and the USER and WORKDIRs in force."""
    user: OldInstruction | None = None
    workdir: tuple[OldInstruction, ...] = ()
    for number, step in enumerate(dockerfile.steps):
        if step.text and dockerfile.in_image(step):
            user = step if step.name == "USER" else user
            if step.name == "WORKDIR":
                workdir = (step,) if step.text.startswith(NO_RELATIVE) else (*workdir, step)
        yield number, step, user, workdir


def _installs(step: OldInstruction) -> bool:
    return is_install(step) or copies_packages(step) or _installs_a_lock(step)


def _installs_a_lock(step: OldInstruction) -> bool:
    """Return whether a lock is among the installs, as with the template."""
    return any(call.locks for call in step.pip_calls)


def _hook(step: OldInstruction, install: OldInstruction | None) -> HookName:
    return "before-install" if install is not None and step.line < install.line else "after-install"


def _declare(step: OldInstruction, draft: Draft) -> None:
    """Record the names of an ARG with their values."""
    for word in step.text.split() if step.name == "ARG" else ():
        name, has_value, value = word.partition("=")
        said = value.strip("\"'") if has_value else draft.arguments.get(name)
        draft.arguments[name] = None if has_credentials(f"{name}={said}") else said
    draft.arguments.pop("BASE_IMAGE", None)


def _checked(step: OldInstruction, around: Around) -> Placement:
    """Place a step, unless it must not be copied or cannot be in a hook."""
    if step.name == "ENV":
        return _kept_well(step, around)
    if step.name == "RUN" and (installed := _install(step, around)) is not None:
        return installed
    if has_credentials(f"{step.text}\n{step.instruction.heredoc or ''}"):
        return not_kept(step, *CREDENTIALS)
    words = tuple(second_indexes(step.instruction, step.instruction.commands))
    own = _of_own_indexes(step)
    if words and not any(each.is_extra for each in own):
        return not_kept(
            step,
            f"{words[0]} brings in a second index (FAC409)",
            "Name the index with its packages in [[tool.factory.indexes]].",
        )
    placement = _kept_well(step, around)
    if step.name != "RUN" or placement.place == "not kept":
        return placement
    urls = ", ".join(dict.fromkeys(shown(each.index or "") for each in own))
    said = (
        placement.why,
        f"from {urls}" if urls else "",
        _as_left_out(_options(step)) if own else _left_out(step),
    )
    return replace(placement, why="; ".join(filter(None, said)))


def _install(step: OldInstruction, around: Around) -> Placement | None:
    """Return the placement of a RUN that only installs, or what the lock lacks."""
    lost = not_taken_over(step, around.folder) or _from_another_index(step, around.folder)
    if lost is not None:
        return not_kept(step, *lost)
    if only_installs(step, around.draft):
        return placed(step, "template", "the install layer", _left_out(step))
    return None


def _of_own_indexes(step: OldInstruction) -> tuple[NamedInstall, ...]:
    """Return the calls of pip that name packages together with an index."""
    return tuple(each for each in read_calls(step) if each.index and each.requirements and not each.has_files)


def _from_another_index(step: OldInstruction, folder: Folder) -> tuple[str, str] | None:
    """Return why the index of an install by name is unknown, and a solution."""
    for each in _of_own_indexes(step):
        if index_key(each.index) not in folder.indexes:
            names = ", ".join(map(str, each.requirements))
            solution = "Name it with these packages in [[tool.factory.indexes]], or give it by --index-url."
            url = printable(each.index or "")
            return f"{each.where} installs {names} from {url}, which is no index of the flavor", solution
    return None


def _kept_well(step: OldInstruction, around: Around) -> Placement:
    """Place a step, unless the spec would refuse it in a hook."""
    if step.first_word in _WITHOUT_PLACE:
        return not_kept(step, *_WITHOUT_PLACE[step.first_word])
    before = around.draft.snapshot()
    placement = _PLACERS.get(step.name, _plain)(step, around)
    for hook, texts in around.draft.texts.items():
        for kept in texts:
            problem = _problem(kept.text, hook) if kept.step is step else None
            if problem is not None:
                around.draft.restore(before)
                return not_kept(step, *problem)
    return placement


def _left_out(step: OldInstruction) -> str:
    """Return the placements that replace an install step: in the lock and the spec."""
    found = [*second_indexes(step.instruction, step.instruction.commands), *_STRATEGY.findall(step.text)]
    found += ["a password, which is to be changed"] if has_credentials(step.text) else []
    return _as_left_out((*found, *_options(step)))


def _options(step: OldInstruction) -> Iterator[str]:
    words = (word for call in step.pip_calls for word in call.arguments)
    yield from (printable(word) for word in words if _CHOOSES.match(word))


def _as_left_out(found: Iterable[str]) -> str:
    words = ", ".join(dict.fromkeys(found))
    return f"left out: {words}" if words else ""


def _problem(text: str, hook: HookName) -> tuple[str, str] | None:
    """Return why a hook refuses a text, and a solution, as `factory check` says it."""
    try:
        check_instructions(text, of="the hook")
    except SpecError as error:
        return error.reason, error.solution
    for instruction in read_instructions(text.split("\n")):
        for found in check_instruction("Dockerfile", instruction, in_block=hook == "midstream"):
            return f"{found.message} ({found.code})", found.solution
    return None


def _outer(step: OldInstruction, dockerfile: OldDockerfile, around: Around) -> Placement:
    """Place an instruction outside of the image's stages, or a FROM."""
    if step.name == "FROM":
        return _from(step, dockerfile)
    if has_credentials(f"{step.text}\n{step.instruction.heredoc or ''}"):
        return not_kept(step, "it holds credentials, which are not copied (FAC410)", "Change the password.")
    if step.name == "RUN" and step.normal not in around.template.instructions:
        lost = not_taken_over(step, around.folder) or _from_another_index(step, around.folder)
        if lost is not None:
            return not_kept(step, *lost)
        return place_builder_run(step, around)
    if _is_of_the_builder(step, around.template):
        return placed(step, "template", "its builder stage", "packages are installed in the final stage")
    return not_kept(
        step,
        "it is in a builder stage of the folder's own",
        "Do it in hooks.before-install or hooks.after-install where the image needs the result.",
    )


def _is_of_the_builder(step: OldInstruction, template: TemplateContent) -> bool:
    """Return whether an instruction of a builder stage only serves to install packages."""
    return (
        step.normal in template.instructions
        or step.name in {"USER", "WORKDIR", "SHELL"}
        or (step.name == "COPY" and all("/" not in each.strip("./") for each in step.instruction.sources))
        or (step.name == "ENV" and all(name.startswith(("PIP_", "UV_", "PATH")) for name in _names(step)))
    )


def _names(step: OldInstruction) -> list[str]:
    return [word.partition("=")[0] for word in step.text.split()]


def _from(step: OldInstruction, dockerfile: OldDockerfile) -> Placement:
    if step.stage == dockerfile.lineage[0]:
        return placed(step, "spec", "base-image")
    if dockerfile.in_image(step):
        return placed(step, "template", "its final stage")
    image = dockerfile.image(step.stage)
    if image == dockerfile.base_image or image.lower() in {stage.name for stage in dockerfile.content.stages}:
        return placed(step, "template", "its builder stage")
    return not_kept(
        step,
        f"a stage on another image, {image}: the template has a builder on the base image alone",
        "Keep what it made as a file in the flavor's folder, or lock it as a package.",
    )


def _surrounding(step: OldInstruction, dockerfile: OldDockerfile, draft: Draft) -> Placement:
    """Place USER, WORKDIR and ARG where kept instructions need them."""
    if step.name == "ARG":
        return _argument(step, dockerfile, draft)
    used = [kept for kept in draft.kept() if step is kept.user or step in kept.workdir]
    needed = [kept for kept in used if step.name == "WORKDIR" or kept.step.name == "RUN"]
    last = [each for each in dockerfile.steps if dockerfile.in_image(each) and each.name == step.name][-1]
    usual = step.text.strip() in (_AS_1001 if step.name == "USER" else {WORKDIR, "/opt/app-root"})
    if step is last and not usual:
        template_has, solution = _ENDS[step.name]
        kept_there = "; the hooks keep it around what needs it" if needed else ""
        return not_kept(
            step,
            f"the image {template_has}, whatever the folder said{kept_there}",
            solution,
        )
    if needed and not (step.name == "USER" and usual):
        return placed(step, "hook", "the hooks, before what needs it")
    return placed(step, "template", "its own USER and WORKDIR")


def _argument(step: OldInstruction, dockerfile: OldDockerfile, draft: Draft) -> Placement:
    if has_credentials(step.text):
        return not_kept(step, "it holds credentials, which are not copied (FAC410)", "Change the password.")
    names = set(step.instruction.declared)
    if names & draft.needed_arguments():
        return placed(step, "hook", "the hooks that use it")
    users = [each for each in dockerfile.steps if each is not step and names & references(each.text)]
    if any(each.name == "FROM" for each in users):
        return placed(step, "spec", "base-image", "its value was put in")
    again = [each for each in dockerfile.steps if each is not step]
    if users or any(not names.isdisjoint(each.instruction.declared) for each in again):
        return placed(step, "template", "what replaces its users", "its value was read where it is used")
    return not_kept(
        step, "no instruction that is kept uses it", "Add it to a hook where a build argument is wanted."
    )


_PACKAGES = re.compile(r"site-packages|/opt/app-root(?:/(?:lib|lib64|bin|share)(?:/|$)|/?$)|\.venv|/venv")
_INPUTS = re.compile(
    r"requirements[^/]*\.(?:txt|in)|pyproject\.toml|pylock[^/]*\.toml|uv\.lock|constraints[^/]*"
)


def copies_packages(step: OldInstruction) -> bool:
    """Return whether a COPY brings installed packages from another stage."""
    copied = step.instruction
    return step.name == "COPY" and bool(copied.origins) and any(map(_PACKAGES.search, copied.sources))


def _place_copy(step: OldInstruction, around: Around) -> Placement:
    """Place a COPY or ADD instruction of the final stage."""
    copied = step.instruction
    if not copied.sources or copied.heredoc is not None:
        return not_kept(
            step, "its words cannot be read, or are a heredoc", "Copy a file of the folder by its name."
        )
    if copied.origins:
        return _from_stage(step)
    if any(is_remote(source) for source in copied.sources):
        return not_kept(
            step,
            "it downloads, and the downstream build has no network (FAC404)",
            "Keep the file in the flavor's folder, and copy it in hooks.after-install.",
        )
    found = {source: around.folder.matching(source) for source in copied.sources}
    missing = [source for source, paths in found.items() if not paths and not _INPUTS.fullmatch(source)]
    paths = tuple(dict.fromkeys(path for each in found.values() for path in each))
    own = [path for path in paths if not _is_given(path, around)]
    if not own and not missing:
        return placed(step, "template", "the files that it copies", ", ".join(paths))
    return _own_copy(step, around, own=own, missing=missing, whole=len(own) == len(paths))


def _from_stage(step: OldInstruction) -> Placement:
    if all(source.startswith("/layers/") for source in step.instruction.sources):
        return placed(step, "template", "the install layer")
    if copies_packages(step):
        return placed(
            step, "template", "the install layer", "nothing is copied over the base image's packages"
        )
    names = {PurePosixPath(source).name for source in step.instruction.sources}
    if names <= {"uv", "uvx"}:
        return placed(step, "template", "uv", "the base image brings it")
    if all(name.startswith("entrypoint") or name.upper().startswith("LICENSE") for name in names):
        return placed(step, "template", "the entry point and the licence")
    return not_kept(
        step,
        f"it takes files from {step.instruction.origins[0]}, a stage or an image of the folder's own",
        "Keep the files in the flavor's folder and copy them in hooks.after-install.",
    )


def _is_given(path: str, around: Around) -> bool:
    """Return whether the template brings a file, or the lock needs it."""
    known = path == around.folder.entrypoint or path in (around.folder.locks or ())
    return path in around.template.files or _INPUTS.fullmatch(path) is not None or known


def _own_copy(
    step: OldInstruction,
    around: Around,
    *,
    own: list[str],
    missing: list[str],
    whole: bool,
) -> Placement:
    problem = _copy_problem(own, missing, around.folder)
    if problem is not None:
        return not_kept(step, *problem)
    if all(path.endswith(".repo") for path in own):
        around.draft.files |= dict.fromkeys(own)
        return placed(step, "hook", "hooks.files", f"{', '.join(own)}: copied for dnf, midstream alone")
    if not whole:
        return not_kept(
            step,
            f"it copies {', '.join(own)} together with files that the template brings",
            f"Copy {', '.join(own)} in hooks.after-install, and name it in hooks.files.",
        )
    around.draft.files |= dict.fromkeys(own)
    around.keep(step, step.source)
    return placed(step, "hook", f"hooks.{around.hook}", f"with hooks.files: {', '.join(own)}")


def _copy_problem(own: list[str], missing: list[str], folder: Folder) -> tuple[str, str] | None:
    if missing:
        return (
            "it copies the whole folder"
            if "." in {source.strip("/") or "." for source in missing}
            else f"the folder has no {', '.join(missing)}",
            "Put the files into the folder under plain names, and copy them by these.",
        )
    for path in own:
        try:
            check_own_file(path)
        except SpecError as error:
            return error.reason, error.solution
        if has_credentials(folder.text(path)):
            return (
                f"{path} holds credentials, which are not copied (FAC410)",
                "Change the password, take it out of the file, and copy the file in a hook.",
            )
        if path.endswith(".repo") and (problem := repository_problem(folder.content(path))):
            return problem
    return None


_FURTHER = frozenset({"PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX"})
CREDENTIALS = (
    "it holds credentials, which are not copied (FAC410)",
    "Change the password. Those of an index go into ~/.netrc, others into secrets of the build.",
)
_STRATEGY_VARIABLE = "UV_INDEX_STRATEGY"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
Pair = tuple[str, str]


def _place_env(step: OldInstruction, around: Around) -> Placement:
    """Place an ENV without secrets and without variables that the template sets to the same."""
    pairs = step.instruction.pairs
    if pairs is None or not all(_NAME.fullmatch(name) for name, _ in pairs):
        return not_kept(step, "its words cannot be read", "Write ENV NAME=value.")
    refused = {name: found for name, value in pairs if (found := _refused(name, value)) is not None}
    kept = [pair for pair in pairs if pair[0] not in refused]
    there = _place_pairs(step, kept, pairs, around) if kept else None
    if not refused:
        return there or not_kept(step, "its words cannot be read", "Write ENV NAME=value.")
    why = "; ".join(f"{name}: {reason}" for name, (reason, _) in refused.items())
    rest = f"; the rest of it goes to {there.to}" if there and there.to else ""
    solution = " ".join(dict.fromkeys(solution for _, solution in refused.values()))
    return replace(
        not_kept(step, f"{why}{rest}", solution), what=f"ENV {', '.join(name for name, _ in pairs)}"
    )


def _refused(name: str, value: str) -> tuple[str, str] | None:
    """Return why a variable must not be kept, and a solution; None if it may."""
    if has_credentials(f"{name}={value}"):
        return CREDENTIALS
    if name in _FURTHER:
        return (
            "it brings in a second index (FAC409)",
            "Name the index with its packages in [[tool.factory.indexes]].",
        )
    if name == _STRATEGY_VARIABLE and value.startswith("unsafe"):
        return (
            "a public package of the same name could win over the private one (FAC408, field note 9)",
            "Leave it out; where packages are on two indexes, name them in [[tool.factory.indexes]].",
        )
    return None


def _place_pairs(
    step: OldInstruction,
    kept: Sequence[Pair],
    pairs: Sequence[Pair],
    around: Around,
) -> Placement:
    own = [
        pair for pair in kept if pair[0] not in INDEX_VARIABLES and not around.template.has_variable(*pair)
    ]
    if not own:
        index = all(name in INDEX_VARIABLES for name, _ in kept)
        return placed(step, "spec", "index-url") if index else placed(step, "template", "its environment")
    notes = [
        f"{name}: the template has {around.template.environment[name]}"
        for name, _ in own
        if name in around.template.environment
    ]
    why = "; ".join((", ".join(name for name, _ in own), *notes))
    if step.in_block or _needs_its_place(own, around.draft):
        around.draft.keep(around.hook, _literal(step, own, pairs, joined=" "), step)
        return placed(step, "hook", f"hooks.{around.hook}", why)
    around.draft.environment |= dict(own)
    around.draft.comments |= {own[0][0]: step.comment} if step.comment else {}
    return placed(step, "hook", "hooks.environment", why)


def _literal(step: OldInstruction, own: Sequence[Pair], pairs: Sequence[Pair], *, joined: str) -> str:
    """Return an instruction with only its own pairs, as written if possible."""
    intricate = any("\\" in value.replace("\\$", "") for _, value in own)
    if len(own) == len(pairs) or (intricate and not has_credentials(step.text)):
        return step.source
    return f"{step.name} {joined.join(pair_text(*pair) for pair in own)}"


def _needs_its_place(own: Sequence[Pair], draft: Draft) -> bool:
    """Return whether pairs would mean something else in a table of the spec."""
    earlier = set(draft.variables_in_texts())
    used_before = set().union(*(references(kept.text) for kept in draft.kept()))
    for name, value in own:
        used = references(value)
        if name in draft.environment or name in earlier | used_before:
            return True
        if used & earlier or used & set(draft.arguments):
            return True
        try:
            check_variable(name, value)
        except SpecError:
            return True
        earlier.add(name)
    return False


def _place_label(step: OldInstruction, around: Around) -> Placement:
    """Place a LABEL: the template sets its own labels, others go after the install."""
    pairs = step.instruction.pairs
    if pairs is None or not all(_KEY.fullmatch(name) for name, _ in pairs):
        return not_kept(step, "its words cannot be read", "Write LABEL name=value.")
    own = [pair for pair in pairs if pair[0] not in around.template.labels]
    if not own:
        return placed(step, "template", "its labels", "their values follow from the spec")
    stripped = [(name, value.strip()) for name, value in own]
    text = _literal(step, own, pairs, joined=" \\\n      ")
    if stripped != own:
        text = "LABEL " + " \\\n      ".join(pair_text(*pair) for pair in stripped)
    around.draft.keep("after-install", text, step)
    names = ", ".join(name for name, _ in own)
    blanks = "; without the blanks around a value (field note 18)" if stripped != own else ""
    return placed(step, "hook", "hooks.after-install", f"{names}{blanks}")


def _place_entry(step: OldInstruction, around: Around) -> Placement:
    text, words = step.text.strip(), step.instruction.words
    is_script = words == (_ENTRY_POINT,)
    if is_script or (step.name == "CMD" and text in _START):
        return placed(step, "template", "the entry point")
    name = words[0].rpartition("/")[2] if len(words) == 1 else None
    if step.name == "ENTRYPOINT" and name is not None and name == around.folder.entrypoint:
        return placed(step, "template", "the entry point", f"{name} is not started: read what else it does")
    return not_kept(
        step,
        "the image starts with the template's entry point: JupyterLab without a command, else the command",
        "Where something has to run before, do it in the image at build time, in hooks.after-install.",
    )


def _plain(step: OldInstruction, around: Around) -> Placement:
    if step.name not in _PLAIN:
        return not_kept(step, "it is no instruction of a Dockerfile", "Correct it, or leave it out.")
    around.keep(step, step.source, "after-install")
    return placed(step, "hook", "hooks.after-install")


_PLACERS: dict[str, Callable[[OldInstruction, Around], Placement]] = {
    "RUN": place_run,
    "COPY": _place_copy,
    "ADD": _place_copy,
    "ENV": _place_env,
    "LABEL": _place_label,
    "ENTRYPOINT": _place_entry,
    "CMD": _place_entry,
}
