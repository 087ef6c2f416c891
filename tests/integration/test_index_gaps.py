"""``factory index-gaps``: all that an index lacks in one pass, gap behind gap; nobody else is asked."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.index_gaps import assumed_in, flavors_in, gaps_in, look
from support.index_server import Fault, IndexServer
from support.private_index import (
    BAIT,
    CPU,
    CUDA,
    FLAVORS,
    NO_VERSION_AT_ALL,
    NO_VERSION_THAT_SATISFIES,
    NO_WHEEL_FOR_A_PLATFORM,
    PrivateWorld,
    asked_for,
)
from support.wheels import make_sdist, make_wheel
from support.workshop import ACCESS, AMD, ARM, SPEC, Workshop

pytestmark = pytest.mark.integration


@pytest.fixture
def public(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexServer]:
    """A public index, as this machine's clients would find it."""
    folder = tmp_path / "public"
    folder.mkdir()
    with IndexServer(folder=folder) as server:
        monkeypatch.setenv("UV_DEFAULT_INDEX", server.url)
        yield server


def test_each_kind_of_gap_is_found_in_one_pass_and_nothing_is_written(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["old>=2", "source", "snake", "arm", "husk>=1"])
    make_wheel(workshop.pushed, "old", "1.0")
    make_sdist(workshop.pushed, "source", "2.1")
    make_wheel(workshop.pushed, "snake", "1.0", requires_python=">=3.13")
    make_wheel(workshop.pushed, "arm", "1.0", tag="cp312-cp312-manylinux_2_17_x86_64")
    make_wheel(workshop.pushed, "husk", "0.9", tag="cp312-cp312-win_amd64")
    folder = workshop.flavor("aa", "absent>=1,<2", platforms=[AMD, ARM])
    run = look(workshop, folder.name, "--json")
    assert run.status == 1
    found = {name: (gap["kind"], gap["platforms"]) for name, gap in gaps_in(run).items()}
    assert found == {
        "absent": ("no-project", [AMD, ARM]),
        "old": ("no-version", [AMD, ARM]),
        "source": ("sdist-only", [AMD, ARM]),
        "snake": ("no-wheel-for-python", [AMD, ARM]),
        "arm": ("no-wheel-for-platform", [ARM]),
        "husk": ("no-usable-version", [AMD, ARM]),
    }
    assert [path.name for path in folder.iterdir()] == ["pyproject.toml"]
    text = look(workshop, folder.name).out
    assert "absent>=1,<2 for Python 3.12 on linux/amd64, linux/arm64: the index has no such project" in text
    assert "arm for Python 3.12 on linux/arm64: the index has 1.0 with wheels for linux/amd64" in text
    assert "what would do: 2.1 built as a wheel, or any version" in text
    assert "needed by aa (old>=2)" in text


def test_a_requirement_is_told_as_its_owners_word_it(workshop: Workshop) -> None:
    """Uv tells of a range only what is there of it."""
    make_wheel(workshop.pushed, "aa", "1.0", requires=["deep>=0.5,<2"])
    make_wheel(workshop.pushed, "deep", "1.0", tag="cp312-cp312-win_amd64")
    make_wheel(workshop.pushed, "direct", "1.0", tag="cp312-cp312-win_amd64")
    run = look(workshop, workshop.flavor("aa", "direct>=0.5,<3", constraints=["direct<2"]).name, "--json")
    assert {name: gap["requirement"] for name, gap in gaps_in(run).items()} == {
        "deep": "deep>=0.5,<2",
        "direct": "direct>=0.5,<2",
    }


def test_an_index_that_has_all_is_said_to_have_it(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    run = look(workshop, workshop.flavor("aa").name)
    assert (run.status, run.out) == (
        0,
        f"th09-cpu-torch2110-py312: {workshop.index.url} has all that it needs\n",
    )


def test_the_index_to_come_is_asked_in_the_place_of_the_present_one(
    workshop: Workshop, tmp_path: Path
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "bb", "1.0")
    with IndexServer(folder=tmp_path / "next") as following:
        make_wheel(following.folder, "aa", "1.1")
        folder = workshop.flavor("aa", "bb")
        before = (folder / "pyproject.toml").read_bytes()
        assert look(workshop, folder.name).status == 0
        run = look(workshop, folder.name, "--index-url", following.url, "--json")
    assert run.status == 1
    assert {name: gap["index"] for name, gap in gaps_in(run).items()} == {"bb": following.url}
    assert (folder / "pyproject.toml").read_bytes() == before


def test_what_a_version_that_does_not_satisfy_requires_is_looked_for_as_well(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb>=2"])
    make_wheel(workshop.pushed, "bb", "1.0", requires=["deep>=3", "there"])
    make_wheel(workshop.pushed, "bb", "0.9", requires=["never-mind"])
    make_wheel(workshop.pushed, "there", "1.0")
    run = look(workshop, workshop.flavor("aa").name, "--json")
    gaps = gaps_in(run)
    assert set(gaps) == {"bb", "deep"}
    assert gaps["deep"]["needed_by"] == ["bb (deep>=3)"]
    assert gaps["deep"]["paths"] == [["aa", "bb"]]
    assert assumed_in(run) == {"bb": ("1.0", "the index"), "deep": (None, None)}
    text = look(workshop, "th09-cpu-torch2110-py312").out
    assert "needed by bb (deep>=3), by way of aa -> bb" in text
    assert "bb: taken to require what 1.0 on the index requires" in text
    assert "deep: what it requires itself is not known" in text


def test_what_an_old_version_requires_never_makes_a_contradiction(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb>=2"])
    make_wheel(workshop.pushed, "bb", "1.0", requires=["cc<2"])
    make_wheel(workshop.pushed, "cc", "1.0")
    make_wheel(workshop.pushed, "cc", "2.0")
    run = look(workshop, workshop.flavor("aa", "cc>=2").name, "--json")
    assert run.status == 1
    assert set(gaps_in(run)) == {"bb"}
    assert flavors_in(run)[0]["conflict"] is None
    assert assumed_in(run) == {"bb": (None, None)}


def test_public_metadata_shows_the_gaps_behind_a_project_that_is_not_there(
    workshop: Workshop, public: IndexServer
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["absent[fast]>=2,<3"])
    make_wheel(workshop.pushed, "there", "1.0")
    make_wheel(
        public.folder,
        "absent",
        "2.5",
        requires=[
            "there",
            "behind>=1",
            "windows; sys_platform == 'win32'",
            "pinned @ https://files.example.com/pinned-1.0-py3-none-any.whl",
        ],
        extras={"fast": ["turbo"], "slow": ["snail"]},
    )
    make_wheel(public.folder, "absent", "9.0", requires=["too-new"])
    make_wheel(public.folder, "behind", "1.0", requires=["last"])
    folder = workshop.flavor("aa")
    run = look(workshop, folder.name, "--json", "--allow-public-metadata")
    gaps = gaps_in(run)
    assert set(gaps) == {"absent", "behind", "turbo", "last"}
    assert gaps["turbo"]["needed_by"] == ["absent (turbo)"]
    assert gaps["last"]["paths"] == [["aa", "absent", "behind"]]
    assert assumed_in(run)["absent"] == ("2.5", "the public index")
    assert asked_for(public) == {"absent", "behind", "turbo", "last"}


def test_the_public_index_is_not_asked_without_leave(workshop: Workshop, public: IndexServer) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["absent"])
    make_wheel(public.folder, "absent", "2.5", requires=["behind"])
    run = look(workshop, workshop.flavor("aa").name, "--json")
    assert set(gaps_in(run)) == {"absent"}
    assert assumed_in(run) == {"absent": (None, None)}
    assert public.requests == []


def test_extras_that_another_owner_asks_for_are_followed_too(workshop: Workshop, public: IndexServer) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["absent"])
    make_wheel(workshop.pushed, "bb", "1.0", requires=["absent[fast]"])
    make_wheel(public.folder, "absent", "2.5", extras={"fast": ["turbo"]})
    run = look(workshop, workshop.flavor("absent", "aa", "bb").name, "--json", "--allow-public-metadata")
    assert set(gaps_in(run)) == {"absent", "turbo"}


def test_the_public_index_is_never_asked_about_a_name_that_an_own_index_has(
    workshop: Workshop, public: IndexServer, tmp_path: Path
) -> None:
    """Whoever took the name there is a stranger, whatever version of it is wanted here."""
    names = {"held", "source", "elsewhere", "further", "present", "nobody"}
    for name in names:
        make_wheel(public.folder, name, "99.0", requires=["stranger"])
    make_wheel(workshop.pushed, "present", "2.0")
    with (
        IndexServer(folder=tmp_path / "next") as following,
        IndexServer(folder=tmp_path / "second") as second,
    ):
        make_wheel(following.folder, "held", "1.0")
        make_sdist(following.folder, "source", "1.0")
        make_wheel(second.folder, "elsewhere", "1.0")
        folder = workshop.flavor("held>=2", "source", "elsewhere", "further", "present>=2", "nobody")
        with (folder / "pyproject.toml").open("a") as project:
            project.write(
                f'[[tool.factory.indexes]]\nname = "second"\nurl = "{second.url}"\npackages = ["further"]\n'
            )
        run = look(workshop, folder.name, "--json", "--allow-public-metadata", "--index-url", following.url)
        assert asked_for(following) == names - {"further"} | {"stranger"}
    assert run.status == 1
    assert {name: gap["index"] for name, gap in gaps_in(run).items()} == {
        name: second.url if name == "further" else following.url for name in names
    } | {"stranger": following.url}
    assert gaps_in(run)["stranger"]["needed_by"] == ["nobody (stranger)"]
    assert asked_for(public) == {"nobody", "stranger"}
    assert assumed_in(run)["present"] == ("2.0", "the flavor's present index")


def test_a_package_is_looked_for_on_its_own_index_only(workshop: Workshop, tmp_path: Path) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["bb>=2"])
    make_wheel(workshop.pushed, "bb", "2.0")
    with IndexServer(folder=tmp_path / "second") as second:
        make_wheel(second.folder, "bb", "1.0")
        folder = workshop.flavor("aa")
        with (folder / "pyproject.toml").open("a") as project:
            project.write(
                f'[[tool.factory.indexes]]\nname = "second"\nurl = "{second.url}"\npackages = ["bb"]\n'
            )
        run = look(workshop, folder.name, "--json")
        assert asked_for(second) == {"bb"}
        text = look(workshop, folder.name).out
    assert {name: (gap["index"], gap["found"]) for name, gap in gaps_in(run).items()} == {
        "bb": (second.url, "the index has 1.0")
    }
    assert asked_for(workshop.index) == {"aa"}
    assert "its indexes lack 1 requirement\n" in text
    assert f"bb>=2 for Python 3.12 on linux/amd64, from {second.url}: the index has 1.0" in text


def test_what_is_recorded_as_missing_is_told_and_is_no_finding(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["flash-attn>=2.8"])
    make_sdist(workshop.pushed, "flash-attn", "2.8")
    folder = workshop.flavor("aa", missing=["flash-attn>=2.8,<3"])
    run = look(workshop, folder.name, "--json")
    assert run.status == 0
    (flavor,) = flavors_in(run)
    assert flavor["state"] == "complete"
    (recorded,) = flavor["recorded"]
    assert (recorded["package"], recorded["reason"]) == ("flash-attn", "not built")
    assert recorded["gap"]["kind"] == "sdist-only"
    assert sorted(recorded["gap"]["needed_by"]) == [
        "aa (flash-attn>=2.8)",
        "pyproject.toml (flash-attn>=2.8,<3)",
    ]
    make_wheel(workshop.pushed, "flash-attn", "2.8")
    text = look(workshop, folder.name).out
    assert "flash-attn>=2.8,<3: recorded as missing, and the index has it now: it can be taken off" in text


def test_what_is_recorded_may_be_there_and_still_not_fit(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "torch", "2.0")
    make_wheel(workshop.pushed, "flash-attn", "2.8", requires=["torch<2"])
    run = look(workshop, workshop.flavor("torch==2.0", missing=["flash-attn"]).name, "--json")
    assert run.status == 0
    (recorded,) = flavors_in(run)[0]["recorded"]
    assert recorded["gap"] is None
    assert "torch<2" in recorded["hindrance"]


def test_what_is_lacking_only_for_what_is_recorded_is_told_apart(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    make_wheel(workshop.pushed, "flash-attn", "2.7", requires=["einops"])
    run = look(workshop, workshop.flavor("aa", missing=["flash-attn>=2.8"]).name, "--json")
    assert run.status == 0
    assert gaps_in(run) == {}
    assert gaps_in(run, "behind")["einops"]["needed_by"] == ["flash-attn (einops)"]
    assert [row["package"] for row in json.loads(run.out)["wanted"]] == ["einops", "flash-attn"]
    run = look(workshop, workshop.flavor("aa", "absent", missing=["flash-attn>=2.8"]).name, "--json")
    assert (run.status, set(gaps_in(run)), set(gaps_in(run, "behind"))) == (1, {"absent"}, {"einops"})


def test_the_request_has_each_gap_once_with_the_flavors_that_have_it(
    workshop: Workshop, tmp_path: Path
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0", requires=["absent>=2"])
    workshop.flavor("aa", name="one", platforms=[AMD, ARM])
    workshop.flavor("aa", "only|here; python_version < '4'".replace("|", "-"), name="two")
    run = look(workshop, "one", "two", "--markdown")
    assert run.status == 1
    rows = [line for line in run.out.splitlines() if line.startswith("| `")]
    assert [row.split(" | ")[0] for row in rows] == ["| `absent>=2`", "| `only-here`"]
    assert rows[0].endswith("| one, two |")
    assert rows[1].endswith("| two |")
    assert "Python 3.12 on linux/amd64 and linux/arm64" in rows[0]
    assert "`aa (absent>=2)`" in rows[0]
    assert workshop.index.url in run.out
    assert "may be missing as well: `absent`, `only-here`." in run.out
    target = tmp_path / "request.md"
    beside = look(workshop, "one", "two", "--markdown", str(target), "--json")
    assert target.read_text() == run.out
    assert {row["package"]: row["flavors"] for row in json.loads(beside.out)["wanted"]} == {
        "absent": ["one", "two"],
        "only-here": ["two"],
    }


@pytest.mark.parametrize(
    ("credentials", "fault"),
    [
        pytest.param(("user", "secret"), None, id="refuses"),
        pytest.param(None, Fault(status=503), id="is down"),
        pytest.param(None, Fault(hang=True), id="hangs"),
    ],
)
def test_an_index_that_refuses_or_fails_is_an_error_and_no_gap(
    workshop: Workshop, credentials: tuple[str, str] | None, fault: Fault | None
) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    workshop.index.credentials = credentials
    workshop.index.fault("/simple/aa/", fault)
    run = look(workshop, workshop.flavor("aa").name, "--json")
    assert run.status == ACCESS
    (flavor,) = flavors_in(run)
    assert (flavor["state"], flavor["gaps"]) == ("failed", [])
    assert json.loads(run.out)["error"]["kind"] == "IndexAccessError"


def test_a_flavor_that_fails_does_not_hide_the_gaps_of_another(workshop: Workshop) -> None:
    workshop.flavor("absent", name="one")
    workshop.flavor("absent", name="two", index_url="http://127.0.0.1:9/simple/")
    run = look(workshop, "one", "two")
    assert run.status == ACCESS
    assert "absent for Python 3.12 on linux/amd64: the index has no such project" in run.out
    assert "two: not known (IndexAccessError)" in run.out
    assert "error: two: " in run.err


def test_a_url_that_is_no_index_is_doubted_before_anything_else_is_said(workshop: Workshop) -> None:
    make_wheel(workshop.pushed, "aa", "1.0")
    wrong = f"{workshop.index.root}/elsewhere/simple/"
    run = look(workshop, workshop.flavor("aa", "bb").name, "--index-url", wrong)
    assert run.status == 1
    assert run.out.splitlines()[0].endswith(
        f"look first whether {wrong} is an index: it has nothing of all this"
    )
    assert "look first" not in look(workshop, "th09-cpu-torch2110-py312").out


def test_a_folder_of_wheels_fills_gaps_as_it_does_for_a_lock(workshop: Workshop, tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "absent", "1.0", requires=["behind"])
    folder = workshop.flavor("absent")
    assert set(gaps_in(look(workshop, folder.name, "--json"))) == {"absent"}
    run = look(workshop, folder.name, "--json", "--find-links", str(tmp_path / "wheels"))
    assert {name: gap["needed_by"] for name, gap in gaps_in(run).items()} == {"behind": ["absent (behind)"]}


def test_what_cannot_be_meant_is_refused(workshop: Workshop) -> None:
    folder = workshop.flavor("aa")
    assert look(workshop).status == 2
    assert look(workshop, folder.name, "--all").status == 2
    assert look(workshop, folder.name, "--json", "--markdown").status == 2
    misplaced = look(workshop, "--markdown", folder.name, folder.name)
    assert (misplaced.status, "Is it an image?" in misplaced.err) == (2, True)
    nowhere = look(workshop, folder.name, "--markdown", "no-such-folder/request.md")
    assert (nowhere.status, "there is no folder no-such-folder" in nowhere.err) == (2, True)
    assert look(workshop, folder.name, "--index-url", "ftp://index.example.com/").status == SPEC


def test_the_next_release_of_a_private_index_is_asked_whole_and_nobody_else(
    private_world: PrivateWorld,
) -> None:
    private_world.locked()
    following = private_world.following["cuda130"]
    run = private_world.run(
        "index-gaps", *FLAVORS.values(), "--json", "--allow-public-metadata", "--index-url", following.url
    )
    assert run.status == 1
    flavors = {flavor["flavor"]: flavor for flavor in flavors_in(run)}
    gaps = {gap["package"]: gap["kind"] for gap in flavors[CUDA]["gaps"]}
    assert gaps == {
        NO_VERSION_AT_ALL["cuda130"]: "no-project",
        **dict.fromkeys(NO_VERSION_THAT_SATISFIES["cuda130"], "no-version"),
        **dict.fromkeys(NO_WHEEL_FOR_A_PLATFORM["cuda130"], "no-wheel-for-platform"),
    }
    assert {gap["package"] for gap in flavors[CPU]["gaps"]} == set(NO_WHEEL_FOR_A_PLATFORM["cuda130"])
    assert asked_for(private_world.public) == frozenset()
    assert BAIT not in run.out + run.err
