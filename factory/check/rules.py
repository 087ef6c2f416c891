"""The rules of ``factory check``, all of them: code, name, severity, and why each is there.

A code never changes its meaning and is never reused. docs/rules.md has a section for each.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Rule:
    """One rule: its name in words, whether a finding fails the check, and why it is there.

    ``waivable``: whether a flavor's spec may waive a finding for a while (docs/rules.md, Waivers).
    """

    name: str
    severity: Severity
    why: str
    waivable: bool = True


def _error(name: str, why: str, *, waivable: bool = True) -> Rule:
    return Rule(name, "error", why, waivable)


def _warning(name: str, why: str) -> Rule:
    return Rule(name, "warning", why)


RULES = {
    # The folder
    "FAC101": _error("missing-file", "A build without it is another build, or none."),
    "FAC102": _error(
        "changed-file", "What is edited here is lost at the next sync, and flavors drift apart."
    ),
    "FAC103": _error("wrong-mode", "A program that is not executable fails when the image starts."),
    "FAC104": _error("stray-file", "Nothing generates it or keeps it current, yet builds may use it."),
    "FAC105": _error("not-renderable", "What cannot be rendered cannot be compared with its templates."),
    "FAC106": _error("symbolic-link", "A copy or a build context may hold the link and nothing behind it."),
    "FAC107": _error("unreadable-file", "What cannot be read, no rule has checked.", waivable=False),
    # The spec and the rest of pyproject.toml
    "FAC201": _error("unreadable-spec", "Everything in the folder is made from the spec.", waivable=False),
    "FAC202": _error("folder-name", "People choose a flavor by its name, so the name must be right."),
    "FAC203": _error("version-against-spec", "A flavor named after one version would install another."),
    "FAC204": _error("python-against-spec", "The lock would be resolved for a Python that the image lacks."),
    "FAC205": _error(
        "second-index", "Packages come from the spec's indexes alone, whatever is set for uv here."
    ),
    "FAC206": _error(
        "unsafe-index-strategy", "A public package of the same name could win over the private one."
    ),
    "FAC207": _warning("ignored-uv-key", "The factory passes only constraints and overrides to uv."),
    "FAC208": _warning("missing-from-index", "The image lacks something that it should have."),
    "FAC209": _warning("missing-yet-locked", "What is recorded as missing is left out of every new lock."),
    "FAC210": _error("project-name", "Tools that read pyproject.toml would report another flavor."),
    "FAC211": _error("missing-yet-asked", "The lock leaves it out, though the image is said to hold it."),
    "FAC212": _error("expired-waiver", "What was waived for a while is waived no longer.", waivable=False),
    "FAC213": _error("unknown-waiver", "It waives nothing, though it reads as if it did.", waivable=False),
    "FAC214": Rule(
        "unused-waiver", "warning", "Left behind, it would waive what comes back one day.", waivable=False
    ),
    "FAC215": _error("index-of-another-accelerator", "The image would hold builds for other hardware."),
    "FAC216": _warning("index-shared", "An index is built for one accelerator; the other gets its builds."),
    "FAC217": _warning("unbounded-dependency", "A later refresh may jump over versions that nobody tried."),
    "FAC218": _warning("exact-dependency", "The next security fix cannot be taken without an edit."),
    "FAC219": _warning("layer-of-nothing", "A misspelt package is in the last layer, and moves with it."),
    # The lock by itself
    "FAC301": _warning("not-locked", "Without a lock, nothing can be prefetched or built hermetically."),
    "FAC302": _error("unreadable-lock", "What cannot be read is not installed as it was meant."),
    "FAC303": _error("not-pinned", "Hermeto resolves nothing: every entry has to be name==version."),
    "FAC304": _error(
        "no-hash", "With one hash, pip and Hermeto want them all; with none, nothing is verified."
    ),
    "FAC305": _error("marker-left", "Hermeto does not evaluate markers and fetches what no platform needs."),
    "FAC306": _error("pinned-twice", "Which of the two is installed depends on the tool."),
    "FAC307": _error("refused-option", "Hermeto refuses a requirements file that holds this option."),
    "FAC308": _error(
        "ignored-option", "Hermeto passes over it in silence, and what it names is not fetched."
    ),
    "FAC309": _error(
        "edited-lock", "What is pinned or hashed by hand was never resolved, nor seen on the index."
    ),
    "FAC310": _error("malformed-hash", "No file has a digest of another length: pip and Hermeto stop at it."),
    # The lock against the spec and the dependencies
    "FAC321": _error("stale-lock", "The image would not hold what pyproject.toml asks for."),
    "FAC322": _error(
        "dependency-not-locked", "The image would lack a direct dependency, and no tool would say so."
    ),
    "FAC323": _error("pin-contradicts", "The lock installs a version that pyproject.toml rules out."),
    "FAC324": _error("pin-against-spec", "A flavor named after one version would install another."),
    "FAC325": _error("index-missing", "Without the line, pip and Hermeto fetch from the public index."),
    "FAC326": _error("index-differs", "The hashes belong to the files of another index."),
    "FAC327": _error("index-twice", "Hermeto accepts one index per file."),
    "FAC328": _error(
        "index-credentials", "A committed password is a leaked one, and Hermeto refuses it.", waivable=False
    ),
    "FAC329": _error(
        "unfit-artifact", "Hermeto would fetch a file that no platform of the flavor can install."
    ),
    "FAC330": _error("platform-without-artifact", "The build on that platform fails, in Konflux and late."),
    "FAC331": _warning(
        "beside-the-index", "Without the folder of wheels, nobody can prefetch or build this flavor."
    ),
    "FAC332": _warning("gpu-package-for-cpu", "Gigabytes for a GPU would go into an image that has none."),
    "FAC333": _error("lock-file-missing", "What comes from that index would not be fetched or installed."),
    "FAC334": _error("package-in-anothers-lock", "It would be fetched from an index that is not its own."),
    "FAC335": _error("locked-apart", "Files of two resolutions may contradict each other, or lack packages."),
    "FAC336": _error(
        "sbom-stale", "Scanners would look for other files than the image holds, and miss what it does."
    ),
    "FAC337": _error("parent-moved", "The lock was resolved against packages that the parent no longer has."),
    "FAC338": _error(
        "replaces-parent",
        "A lock leaves out what the parent has: it would be installed twice, or replaced untested.",
    ),
    # The Dockerfiles and what they use
    "FAC401": _error("marker", "A block that does not pair cannot be removed for downstream."),
    "FAC402": _error(
        "url-install", "What comes from a URL or a repository is in no lock and not there offline."
    ),
    "FAC403": _error("unlocked-install", "A package installed by name is in no lock and not there offline."),
    "FAC404": _error("download", "The downstream build has no network."),
    "FAC405": _error(
        "system-install", "Downstream, system packages come with the base image; there is no network."
    ),
    "FAC406": _error("run-form", "Konflux prepends its environment to plain shell RUN lines only."),
    "FAC407": _error("gpgcheck-off", "Packages of unknown origin would be installed as root."),
    "FAC408": _error(
        "unsafe-index-option", "A public package of the same name could win over the private one."
    ),
    "FAC409": _error("extra-index-option", "Another index could serve a package of the same name."),
    "FAC410": _error("password", "Everybody with the repository or the image can read it.", waivable=False),
    "FAC411": _error("unverified-install", "A file with other bytes than those locked would be installed."),
    "FAC412": _error(
        "resolving-install", "What is installed would not be what the lock says, and flavors differ."
    ),
    "FAC413": _error(
        "site-packages-copied", "The base image's packages keep a .dist-info beside the new one."
    ),
    "FAC414": _error("label-missing", "The product's pipelines and the catalog read it, and refuse without."),
    "FAC415": _error("label-white-space", "Tools that compare the label find another word."),
    "FAC416": _error(
        "licence-of-another-vendor", "The image would be shipped under terms that are not its own."
    ),
    "FAC417": _warning("uv-removed", "The base image's users install with it, and flavors would differ."),
    "FAC418": _warning(
        "preload-not-installed", "Every program of the image would begin with a loader's error."
    ),
    "FAC419": _error(
        "run-option", "It gives a step the machine's network, its privileges or a user's secret."
    ),
    "FAC420": _error("read-differently", "What is checked here would not be what another engine builds."),
    "FAC421": _error("layer-not-installed", "The image would lack packages that its lock has."),
    # The PipelineRuns, in a repository that uses Konflux
    "FAC501": _error("pipeline-run-missing", "Konflux builds what has a PipelineRun, and nothing else."),
    "FAC502": _error("pipeline-run-changed", "Konflux would fetch or build what the spec does not say."),
    "FAC503": _error("pipeline-run-stray", "Konflux would go on building a flavor that was removed."),
    "FAC504": _error("pipeline-run-refused", "What cannot be rendered cannot be kept current."),
    # What coding agents read
    "FAC511": _error("agent-file-changed", "A coding agent would follow what holds no longer."),
}
