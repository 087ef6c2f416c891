"""Read an image as it is in its folder, or as it was at a git revision."""

import os
from dataclasses import dataclass

from factory.errors import NotFoundError, ProgramError
from factory.flavor.project import PROJECT_FILE, ImageFolder, Project, parse_project
from factory.flavor.repository import Flavor, Repository, require_packages
from factory.lock.lockfile import LOCK_FILE
from factory.lock.lockset import LockSet, lock_file_names, parse_lock_set, read_lock_set
from factory.process import Finished, run
from factory.settings import FLAVORS_FOLDER

# What tells git where a repository is and what is in it (`git rev-parse --local-env-vars`).
_ANOTHER_REPOSITORY = frozenset(
    {
        "GIT_DIR",
        "GIT_COMMON_DIR",
        "GIT_WORK_TREE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_PREFIX",
        "GIT_NAMESPACE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_SHALLOW_FILE",
        "GIT_GRAFT_FILE",
    }
)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An image at one time.

    ``revision`` and ``commit`` are None for the folder as it is; ``locks`` is None if it is not locked.
    """

    flavor: str
    revision: str | None
    commit: str | None
    project: Project
    locks: LockSet | None


def two_snapshots(repository: Repository, first: str, second: str | None) -> tuple[Snapshot, Snapshot]:
    """Return two images, each as ``NAME`` in its folder, or as ``NAME@REVISION`` in git.

    Without a second, the first as git has it (at HEAD, if no revision is given), and as it is.
    The second may be a revision alone: then the first as git has it there, and as it was given.

    Raises:
        NotFoundError: there is no such image, revision or git repository.
        SpecError, LockFileError: its files cannot be read.
    """
    if second is None:
        after = _in_folder(require_packages(repository.image(plain_name(first))))
        return _take(repository, first if "@" in first else f"{first}@HEAD"), after
    if "@" not in second and not _has(repository, second) and _is_revision(repository, second):
        return _at_revision(repository, plain_name(first), second), _take(repository, first)
    return _take(repository, first), _take(repository, second)


def plain_name(name: str) -> str:
    """Return the image of ``NAME@REVISION``: no image's name has an @, and revisions may.

    Raises:
        NotFoundError: there is no name.
    """
    flavor = name.partition("@")[0]
    if not flavor:
        raise NotFoundError(
            f"{name!r} names no image",
            solution="Write IMAGE@REVISION, such as the image's name and @HEAD.",
        )
    return flavor


def _take(repository: Repository, name: str) -> Snapshot:
    flavor = plain_name(name)
    _, at, revision = name.partition("@")
    if at:
        return _at_revision(repository, flavor, revision or "HEAD")
    return _in_folder(require_packages(repository.image(name)))


def _has(repository: Repository, name: str) -> bool:
    try:
        repository.image(name)
    except NotFoundError:
        return False
    return True


def _is_revision(repository: Repository, text: str) -> bool:
    """Return whether git is there and knows a revision of that name."""
    try:
        _commit(repository, text)
    except (NotFoundError, ProgramError):
        return False
    return True


def _in_folder(flavor: Flavor) -> Snapshot:
    """Return the image as it is in its folder.

    Raises:
        NotFoundError, SpecError, LockFileError: its files are not there, or cannot be read.
    """
    project = flavor.project
    locks = read_lock_set(flavor.folder, project.spec)
    return Snapshot(flavor=flavor.name, revision=None, commit=None, project=project, locks=locks)


def _at_revision(repository: Repository, name: str, revision: str) -> Snapshot:
    """Return an image as git has it at a revision, even if its folder no longer exists.

    Raises:
        NotFoundError: no git repository, no such revision, or no such image in it.
        SpecError: its ``pyproject.toml`` of that time cannot be read.
    """
    # What the folder has now says which kind of image it is; one without a folder was a flavor. A path is
    # given by its last part, as the folder is called under flavors/.
    image = repository.image(name) if _has(repository, name) else None
    folder = _folder_of(repository, image, name)
    commit = _commit(repository, revision)
    listed = _git(repository, "ls-tree", "-z", "--name-only", commit, f"{folder}/").stdout.split("\0")
    present = {path.removeprefix(f"{folder}/") for path in listed}
    if PROJECT_FILE not in present:
        raise NotFoundError(
            f"there is no image {folder.rpartition('/')[2]!r} under {folder.rpartition('/')[0]}/ at revision "
            f"{revision}",
            solution=f"Name a revision that has it: `git log -- {folder}` shows them.",
        )

    def content(path: str) -> str:
        return _git(repository, "show", f"{commit}:./{folder}/{path}").stdout

    project = parse_project(content(PROJECT_FILE), where=f"{revision}:{folder}/{PROJECT_FILE}", image=image)
    texts = {path: content(path) for path in lock_file_names(project.spec) if path in present}
    return Snapshot(
        flavor=folder.rpartition("/")[2],
        revision=revision,
        commit=commit,
        project=project,
        locks=parse_lock_set(texts) if LOCK_FILE in texts else None,
    )


def _folder_of(repository: Repository, image: ImageFolder | None, name: str) -> str:
    """Return the folder of an image from the repository's root."""
    if image is not None and not image.is_flavor:
        return image.folder.relative_to(repository.root).as_posix()
    return f"{FLAVORS_FOLDER}/{image.name if image else name.rstrip('/').rpartition('/')[2]}"


def _commit(repository: Repository, revision: str) -> str:
    inside = _git(repository, "rev-parse", "--show-prefix", accept_failure=True)
    if inside.status != 0:
        last = inside.stderr.strip().splitlines()[-1:]
        raise NotFoundError(
            f"{repository.root} is no git repository that can be read"
            + "".join(f": {line}" for line in last),
            solution="Compare two images, or run it where the repository is cloned.",
        )
    # A revision is never an option: git would take one that begins with a hyphen for it.
    known = (
        None
        if revision.startswith("-")
        else _git(
            repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", accept_failure=True
        )
    )
    if known is None or known.status != 0:
        raise NotFoundError(
            f"git knows no revision {revision!r}",
            solution="Name a commit, a branch or a tag, such as HEAD~1, main or v1.2. In a shallow clone, "
            "fetch it first: `git fetch --unshallow`.",
        )
    return known.stdout.strip()


def _git(repository: Repository, *arguments: str, accept_failure: bool = False) -> Finished:
    # A hook of git runs with variables that say which repository it is for, which need not be this one.
    environment = {name: value for name, value in os.environ.items() if name not in _ANOTHER_REPOSITORY}
    return run(
        ("git", *arguments),
        cwd=repository.root,
        environment=environment,
        accept_failure=accept_failure,
    )
