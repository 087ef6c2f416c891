"""``factory lock`` for several platforms: one lock without markers serves them all."""

import pytest
from support.wheels import make_sdist, make_wheel, sha256
from support.workshop import AMD, ARM, CONFLICT, GAP, Workshop, hashes

pytestmark = pytest.mark.integration

_X86, _AARCH64 = "cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_17_aarch64"


def test_each_platform_gets_its_best_wheel_and_nothing_else(workshop: Workshop) -> None:
    kept = {
        sha256(make_wheel(workshop.pushed, "nn", "1.0", tag=f"cp312-cp312-manylinux_2_28_{machine}"))
        for machine in ("x86_64", "aarch64")
    }
    for tag in (
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_35_x86_64",
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp312-cp312-macosx_11_0_arm64",
        "cp312-cp312-musllinux_1_2_x86_64",
        "py3-none-any",
    ):
        make_wheel(workshop.pushed, "nn", "1.0", tag=tag)
    make_sdist(workshop.pushed, "nn", "1.0")
    pure = make_wheel(workshop.pushed, "pp", "1.0")
    lock = workshop.locked(workshop.flavor("nn", "pp", platforms=(AMD, ARM)))
    assert hashes(lock, "nn") == kept
    assert hashes(lock, "pp") == {sha256(pure)}


def test_what_one_platform_needs_is_locked_for_all_since_there_are_no_markers(workshop: Workshop) -> None:
    make_wheel(
        workshop.pushed,
        "aa",
        "1.0",
        requires=["arm; platform_machine == 'aarch64'", "amd; platform_machine == 'x86_64'"],
    )
    kept = {
        name: {
            sha256(make_wheel(workshop.pushed, name, "1.0", tag=f"cp312-cp312-linux_{machine}"))
            for machine in ("x86_64", "aarch64")
        }
        for name in ("arm", "amd")
    }
    lock = workshop.locked(workshop.flavor("aa", platforms=(AMD, ARM)))
    assert {name: hashes(lock, name) for name in kept} == kept


def test_a_package_without_a_wheel_for_one_platform_is_named_at_lock_time(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["nn"])
    make_wheel(workshop.pushed, "nn", "1.0", tag="cp312-cp312-manylinux_2_28_x86_64")
    folder = workshop.flavor("aa", platforms=(AMD, ARM))
    run = workshop.lock(folder.name)
    assert run.status == GAP
    assert "nn for linux/arm64: the index has 1.0 with wheels for linux/amd64" in run.err
    assert "needed by aa" in run.err
    assert not (folder / "requirements.txt").exists()


_ORDERS = pytest.mark.parametrize("platforms", [(AMD, ARM), (ARM, AMD)], ids=["amd64 first", "arm64 first"])


@_ORDERS
def test_versions_that_serve_all_platforms_are_found_in_either_order(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    for name in ("plat", "other"):
        for tag in (_X86, _AARCH64):
            make_wheel(workshop.pushed, name, "1.0", tag=tag)
    make_wheel(workshop.pushed, "plat", "2.0", tag=_X86)
    make_wheel(workshop.pushed, "other", "2.0", tag=_AARCH64)
    lock = workshop.locked(workshop.flavor("plat", "other", platforms=platforms))
    assert lock.versions() == {"plat": "1.0", "other": "1.0"}
    assert all(len(hashes(lock, name)) == 2 for name in ("plat", "other"))


@_ORDERS
def test_what_one_platform_needs_is_locked_at_a_version_that_the_other_can_have(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "mk", "1.0", requires=["armdep; platform_machine == 'aarch64'"])
    for tag in (_X86, _AARCH64):
        make_wheel(workshop.pushed, "armdep", "1.0", tag=tag)
    make_wheel(workshop.pushed, "armdep", "2.0", tag=_AARCH64)
    lock = workshop.locked(workshop.flavor("mk", platforms=platforms))
    assert lock.versions() == {"armdep": "1.0", "mk": "1.0"}


@_ORDERS
def test_a_package_for_one_platform_only_cannot_be_locked_without_markers(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "mk", "1.0", requires=["armdep; platform_machine == 'aarch64'"])
    make_wheel(workshop.pushed, "armdep", "1.0", tag=_AARCH64)
    folder = workshop.flavor("mk", platforms=platforms)
    run = workshop.lock(folder.name)
    assert run.status == CONFLICT
    assert "armdep: only linux/arm64 needs it (1.0), and it is not to be had on linux/amd64" in run.err
    assert "a lock has no markers" in run.err
    assert "needed by" not in run.err
    assert not (folder / "requirements.txt").exists()


@_ORDERS
def test_versions_that_share_no_platform_are_told_by_platform(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "plat", "1.0", tag=_AARCH64)
    make_wheel(workshop.pushed, "plat", "2.0", tag=_X86)
    run = workshop.lock(workshop.flavor("plat", platforms=platforms).name)
    assert run.status == CONFLICT
    assert "plat: 2.0 on linux/amd64, 1.0 on linux/arm64" in run.err


@_ORDERS
def test_an_older_version_serves_all_platforms_where_each_has_a_newer_one_of_its_own(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    for tag in (_X86, _AARCH64):
        make_wheel(workshop.pushed, "plat", "1.0", tag=tag)
    # In turns, so that no platform's newest leads to the one that they share.
    for minor in range(1, 7):
        make_wheel(workshop.pushed, "plat", f"1.{minor}", tag=_X86 if minor % 2 else _AARCH64)
    folder = workshop.flavor("plat", platforms=platforms)
    lock = workshop.locked(folder)
    assert lock.versions() == {"plat": "1.0"}
    assert len(hashes(lock, "plat")) == 2
    assert workshop.lock(folder.name, "--check").status == 0


@_ORDERS
def test_what_one_platform_needs_has_an_older_version_that_serves_all(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "mk", "1.0", requires=["armdep; platform_machine == 'aarch64'"])
    for tag in (_X86, _AARCH64):
        make_wheel(workshop.pushed, "armdep", "1.0", tag=tag)
    make_wheel(workshop.pushed, "armdep", "1.1", tag=_X86)
    make_wheel(workshop.pushed, "armdep", "1.2", tag=_AARCH64)
    lock = workshop.locked(workshop.flavor("mk", platforms=platforms))
    assert lock.versions() == {"armdep": "1.0", "mk": "1.0"}
    assert len(hashes(lock, "armdep")) == 2


@_ORDERS
def test_what_a_platform_cannot_have_at_all_is_named_and_not_got_round(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "mk", "1.0")
    make_wheel(workshop.pushed, "mk", "2.0", requires=["armdep; platform_machine == 'aarch64'"])
    make_wheel(workshop.pushed, "armdep", "1.0", tag=_AARCH64)
    run = workshop.lock(workshop.flavor("mk", platforms=platforms).name)
    assert run.status == CONFLICT
    assert "armdep: only linux/arm64 needs it (1.0), and it is not to be had on linux/amd64" in run.err


@_ORDERS
def test_an_override_does_not_give_platforms_different_versions(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    for tag in (_X86, _AARCH64):
        make_wheel(workshop.pushed, "plat", "1.0", tag=tag)
    make_wheel(workshop.pushed, "plat", "1.1", tag=_X86)
    make_wheel(workshop.pushed, "plat", "1.2", tag=_AARCH64)
    lock = workshop.locked(workshop.flavor("plat", overrides=["plat>=1"], platforms=platforms))
    assert lock.versions() == {"plat": "1.0"}
    assert len(hashes(lock, "plat")) == 2


@_ORDERS
def test_what_an_override_keeps_for_one_platform_is_locked_for_all(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    make_wheel(workshop.pushed, "mk", "1.0", requires=["dep"])
    for tag in (_X86, _AARCH64):
        make_wheel(workshop.pushed, "dep", "1.0", tag=tag)
    overrides = ["dep; platform_machine == 'aarch64'"]
    lock = workshop.locked(workshop.flavor("mk", overrides=overrides, platforms=platforms))
    assert len(hashes(lock, "dep")) == 2


@_ORDERS
def test_overrides_that_ask_for_another_version_on_each_platform_have_no_lock(
    workshop: Workshop, platforms: tuple[str, ...]
) -> None:
    for version in ("1.0", "2.0"):
        for tag in (_X86, _AARCH64):
            make_wheel(workshop.pushed, "plat", version, tag=tag)
    overrides = ["plat==1.0; platform_machine == 'aarch64'", "plat==2.0; platform_machine == 'x86_64'"]
    run = workshop.lock(workshop.flavor("plat", overrides=overrides, platforms=platforms).name)
    assert run.status == CONFLICT
    assert "plat: 2.0 on linux/amd64, 1.0 on linux/arm64" in run.err
