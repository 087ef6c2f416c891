"""ENV and LABEL instructions of the final stage, placed pair by pair."""

import re
from collections.abc import Sequence
from dataclasses import replace

from factory.adopt.dockerfile import OldInstruction
from factory.adopt.draft import Around, Draft, HookName
from factory.adopt.given import Given
from factory.adopt.named_installs import INDEX_VARIABLES
from factory.adopt.placement import Placement, has_credentials, not_kept, placed
from factory.dockerfile.instructions import pair_text, references
from factory.errors import SpecError
from factory.flavor.hook_text import check_variable

_FURTHER = frozenset({"PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX"})
CREDENTIALS = (
    "it holds credentials, which are not copied (FAC410)",
    "Change the password. Those of an index go into ~/.netrc, others into secrets of the build.",
)
_STRATEGY = "UV_INDEX_STRATEGY"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
Pair = tuple[str, str]


def place_env(step: OldInstruction, around: Around, draft: Draft, given: Given) -> Placement:
    """Place an ENV instruction: what the template sets alike is its own, what is secret is left out."""
    pairs = step.instruction.pairs
    if pairs is None or not all(_NAME.fullmatch(name) for name, _ in pairs):
        return not_kept(step, "its words cannot be read", "Write ENV NAME=value.")
    refused = {name: found for name, value in pairs if (found := _refused(name, value)) is not None}
    kept = [pair for pair in pairs if pair[0] not in refused]
    there = _place_pairs(step, kept, pairs, around, draft, given) if kept else None
    if not refused:
        return there or not_kept(step, "its words cannot be read", "Write ENV NAME=value.")
    why = "; ".join(f"{name}: {reason}" for name, (reason, _) in refused.items())
    rest = f"; the rest of it goes to {there.to}" if there and there.to else ""
    solution = " ".join(dict.fromkeys(solution for _, solution in refused.values()))
    return replace(
        not_kept(step, f"{why}{rest}", solution), what=f"ENV {', '.join(name for name, _ in pairs)}"
    )


def _refused(name: str, value: str) -> tuple[str, str] | None:
    """Why a variable must not be kept, and what to do; None where it may be."""
    if has_credentials(f"{name}={value}"):
        return CREDENTIALS
    if name in _FURTHER:
        return (
            "it brings in a second index (FAC409)",
            "Name the index with its packages in [[tool.factory.indexes]].",
        )
    if name == _STRATEGY and value.startswith("unsafe"):
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
    draft: Draft,
    given: Given,
) -> Placement:
    own = [pair for pair in kept if pair[0] not in INDEX_VARIABLES and not given.has_variable(*pair)]
    if not own:
        index = all(name in INDEX_VARIABLES for name, _ in kept)
        return placed(step, "spec", "index-url") if index else placed(step, "template", "its environment")
    notes = [
        f"{name}: the template has {given.environment[name]}" for name, _ in own if name in given.environment
    ]
    why = "; ".join((", ".join(name for name, _ in own), *notes))
    if step.in_block or _needs_its_place(own, draft):
        hook: HookName = "midstream" if step.in_block else around.hook
        draft.keep(hook, _literal(step, own, pairs, joined=" "), step)
        return placed(step, "hook", f"hooks.{hook}", why)
    draft.environment |= dict(own)
    draft.comments |= {own[0][0]: step.comment} if step.comment else {}
    return placed(step, "hook", "hooks.environment", why)


def _literal(step: OldInstruction, own: Sequence[Pair], pairs: Sequence[Pair], *, joined: str) -> str:
    """An instruction with its own pairs alone; as it is written where all are, or are quoted with care."""
    intricate = any("\\" in value.replace("\\$", "") for _, value in own)
    if len(own) == len(pairs) or (intricate and not has_credentials(step.text)):
        return step.source
    return f"{step.name} {joined.join(pair_text(*pair) for pair in own)}"


def _needs_its_place(own: Sequence[Pair], draft: Draft) -> bool:
    """Whether pairs mean something else in a table: order counts, or the value is out of its grammar."""
    earlier = set(draft.variables_in_texts())
    told = set().union(*(references(kept.text) for kept in draft.kept()))
    for name, value in own:
        used = references(value)
        if name in draft.environment or name in earlier | told:
            return True
        if used & earlier or used & set(draft.arguments):
            return True
        try:
            check_variable(name, value)
        except SpecError:
            return True
        earlier.add(name)
    return False


def place_label(step: OldInstruction, draft: Draft, given: Given) -> Placement:
    """Place a LABEL instruction: the template's labels are its own, others go after the install."""
    pairs = step.instruction.pairs
    if pairs is None or not all(_KEY.fullmatch(name) for name, _ in pairs):
        return not_kept(step, "its words cannot be read", "Write LABEL name=value.")
    own = [pair for pair in pairs if pair[0] not in given.labels]
    if not own:
        return placed(step, "template", "its labels", "their values follow from the spec")
    stripped = [(name, value.strip()) for name, value in own]
    text = _literal(step, own, pairs, joined=" \\\n      ")
    if stripped != own:
        text = "LABEL " + " \\\n      ".join(pair_text(*pair) for pair in stripped)
    draft.keep("after-install", text, step)
    names = ", ".join(name for name, _ in own)
    blanks = "; without the blanks around a value (field note 18)" if stripped != own else ""
    return placed(step, "hook", "hooks.after-install", f"{names}{blanks}")
