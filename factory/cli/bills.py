"""What the commands that write locks do last: bring the bills of materials up to date."""

from collections.abc import Sequence

from factory.cli.options import Invocation
from factory.flavor.repository import Flavor
from factory.lock.locking import LockOptions
from factory.render.drift import SBOM_FILE
from factory.sbom.kept import with_bill


def keep_bills_current(
    invocation: Invocation,
    flavors: Sequence[Flavor],
    options: LockOptions,
    *,
    exit_code: int,
    outcomes: Sequence[object] = (),
) -> int:
    """Bring the bills of flavors up to date where they have one, and give the exit code of the command.

    It is that of the first bill which could not be, where the command had none of its own. Flavors whose
    lock failed, as one of the outcomes says, are left as they are.
    """
    having = with_bill(flavors, outcomes)
    if not having:
        return exit_code
    # Imported where there is one: its library is slow to start.
    from factory.sbom.collect import Sources  # noqa: PLC0415
    from factory.sbom.write import keep_bills  # noqa: PLC0415

    sources = Sources(find_links=options.find_links, public_find_links=options.public_find_links)
    for kept in keep_bills(having, sources):
        if kept.error is None:
            invocation.console.note(f"{kept.flavor}: {SBOM_FILE} is brought up to date")
        else:
            invocation.console.report(kept.error)
            exit_code = exit_code or kept.error.exit_code
    return exit_code
