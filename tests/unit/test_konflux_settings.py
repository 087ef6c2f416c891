"""``[konflux]`` of ``factory.toml``: what is read, what is refused, and what options write there."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.konflux_site import SETTINGS, settings_of

from factory.errors import KonfluxError
from factory.konflux.pipeline_run import run_name
from factory.konflux.settings import ChangedKey, parse_settings, read_konflux_settings, settings_with


def test_what_is_not_set_has_a_default() -> None:
    settings = settings_of()
    assert (settings.application, settings.output_image) == ("images", "quay.io/example/")
    assert (settings.target_branch, settings.out) == ("main", ".tekton")
    assert settings.service_account is None
    assert settings.namespace is None
    assert settings.image_expires_after == "5d"
    assert settings.max_keep_runs == 3
    assert settings.build_source_image is False
    assert settings.reproducible is False
    assert settings.build_args == ()
    assert settings.component_prefix == ""
    assert settings.factory_image == "{{ factory_image }}"
    assert settings.timeouts == {"cuda": 480, "rocm": 480, "cpu": 240, "check": 360}
    assert settings.platforms == {"linux/amd64": "linux/x86_64", "linux/arm64": "linux/arm64"}


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_a_file_without_the_table_says_that_konflux_is_not_used(text: str) -> None:
    assert parse_settings(text) is None


def test_a_repository_without_the_file_does_not_use_konflux(tmp_path: Path) -> None:
    assert read_konflux_settings(tmp_path) is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('aplication = "x"', "unknown keys: aplication"),
        ("max-keep-runs = 0", "less than 1"),
        ('max-keep-runs = "3"', "whole number"),
        ("max-keep-runs = true", "whole number"),
        ("max-keep-runs = 1.5", "whole number"),
        ('build-source-image = "true"', "true or false"),
        ('reproducible = "true"', "true or false"),
        ("build-args = [1]", "list of strings"),
        ('build-args = ["A"]', "not a build argument"),
        ('build-args = ["BASE_IMAGE=quay.io/other:1"]', "follows from each flavor's spec"),
        ('build-args = ["A=$(params.git-url)"]', "not a build argument"),
        ('build-args = ["A={{revision}}"]', "not a build argument"),
        ('image-expires-after = "5"', "how long an image is kept"),
        ('image-expires-after = "0d"', "how long an image is kept"),
        ('out = "flavors/x"', "not a folder for PipelineRuns"),
        ('out = "templates"', "not a folder for PipelineRuns"),
        ('out = "../x"', "not a folder for PipelineRuns"),
        ('out = "/x"', "not a folder for PipelineRuns"),
        ('out = "a b"', "not a folder for PipelineRuns"),
        ('out = "x*"', "not a folder for PipelineRuns"),
        ('out = "."', "not a folder for PipelineRuns"),
        ('factory-image = "quay.io/example/factory:1"', "has no digest"),
        ('factory-image = "$(params.x)"', "not an image reference"),
        ('component-prefix = "-x"', "not what a name can begin with"),
        ('namespace = "A"', "not a name that Kubernetes takes"),
        ('timeouts = {cuda = "59m"}', "not how long a build may take"),
        ('timeouts = {cuda = "8"}', "not how long a build may take"),
        ('timeouts = {cuda = "8h0m0s"}', "not how long a build may take"),
        ('timeouts = {tpu = "8h"}', "unknown keys: tpu"),
        ("timeouts = {cuda = 8}", "table of strings"),
        ('build-platforms = {"linux/s390x" = "linux/s390x"}', "not a platform that flavors are built for"),
        ('build-platforms = {"linux/amd64" = "amd 64"}', "not a platform of Konflux"),
    ],
)
def test_a_value_that_is_not_acceptable_is_refused(line: str, says: str) -> None:
    with pytest.raises(KonfluxError, match=says) as refused:
        parse_settings(f"{SETTINGS}{line}\n")
    assert refused.value.reason.startswith("factory.toml: ")
    assert refused.value.solution


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[konflux", "not TOML"),
        ("konflux = 1\n", "not a table"),
        ('[konflux]\napplication = "a"\n', "lacks output-image"),
        ('[konflux]\noutput-image = "quay.io/example/"\n', "lacks application"),
        (f"{SETTINGS}[tekton]\n", "unknown tables or keys: tekton"),
        ("[konflx]\n", "unknown tables or keys: konflx"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(text: str, says: str) -> None:
    with pytest.raises(KonfluxError, match=says):
        parse_settings(text)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "factory.toml").write_bytes(b"\xff")
    with pytest.raises(KonfluxError, match="UTF-8"):
        read_konflux_settings(tmp_path)


@pytest.mark.parametrize(
    "image",
    ["{{ factory_image }}", "{{factory_image}}", f"quay.io/example/factory@sha256:{'0' * 64}"],
)
def test_the_factorys_image_is_a_digest_or_a_parameter(image: str) -> None:
    assert settings_of(f'{SETTINGS}factory-image = "{image}"\n').factory_image == image


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("quay.io/o", "quay.io/o/"),
        ("quay.io/o/", "quay.io/o/"),
        ("localhost:5000/a/b-c", "localhost:5000/a/b-c/"),
        ("registry:5000", "registry:5000/"),
    ],
)
def test_the_place_of_the_images_ends_with_a_slash_whether_it_was_written_or_not(
    given: str, place: str
) -> None:
    text = f'[konflux]\napplication = "images"\noutput-image = "{given}"\n'
    assert settings_of(text).output_image == place


@pytest.mark.parametrize("given", ["quay.io/o/odh-", "quay.io/o//", "o", "o/", "/o", "", "quay.io/o:1"])
def test_what_is_no_place_in_a_registry_is_refused(given: str) -> None:
    with pytest.raises(KonfluxError, match="not where images are in a registry") as refused:
        parse_settings(f'[konflux]\napplication = "images"\noutput-image = "{given}"\n')
    assert "component-prefix" in refused.value.solution


@pytest.mark.parametrize(("length", "fits"), [(34, True), (35, False)])
def test_a_prefix_leaves_room_for_the_longest_name_after_it(length: int, *, fits: bool) -> None:
    prefix = "a" * length
    text = f'{SETTINGS}component-prefix = "{prefix}"\n'
    if fits:
        assert len(run_name("flavors-check", "pull_request", settings_of(text))) == 63
        return
    with pytest.raises(KonfluxError, match="not what a name can begin with"):
        parse_settings(text)


COMMENTED = """\
# Ours, since 2026.

[konflux]  # see the handbook
output-image = "quay.io/example/"   # the organization
application = "old"
# Machines of our cluster.
[konflux.build-platforms]
"linux/amd64" = "linux-d160-m8xlarge/amd64"

[konflux.timeouts]
cuda = "10h"
"""


def test_options_are_written_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / "factory.toml").write_text(COMMENTED, encoding="utf-8")
    options = {"application": "new", "target-branch": "release/1.10", "output-image": None}
    proposal = settings_with(tmp_path, options)
    assert proposal.changes == (
        ChangedKey(key="application", old="old", new="new"),
        ChangedKey(key="target-branch", old=None, new="release/1.10"),
    )
    assert proposal.text is not None
    # tomlkit sets an empty line before the table that follows; nothing depends on it.
    lines = [line for line in proposal.text.splitlines() if line]
    kept = [line for line in COMMENTED.splitlines() if line and line != 'application = "old"']
    assert [line for line in lines if line in kept] == kept
    assert [line for line in lines if line not in kept] == [
        'application = "new"',
        'target-branch = "release/1.10"',
    ]
    assert parse_settings(proposal.text) == proposal.settings
    assert proposal.settings.target_branch == "release/1.10"
    assert proposal.settings.platforms["linux/amd64"] == "linux-d160-m8xlarge/amd64"
    assert proposal.settings.timeouts["cuda"] == 600


def test_the_ends_of_lines_stay(tmp_path: Path) -> None:
    (tmp_path / "factory.toml").write_bytes(COMMENTED.replace("\n", "\r\n").encode())
    text = settings_with(tmp_path, {"target-branch": "next"}).text
    assert text is not None
    assert text.count("\r\n") == text.count("\n") > COMMENTED.count("\n")


@pytest.mark.parametrize(
    "options", [{}, {"application": "images"}, {"target-branch": "main", "out": ".tekton"}]
)
def test_an_option_that_says_what_holds_anyway_changes_nothing(
    tmp_path: Path, options: dict[str, str | None]
) -> None:
    (tmp_path / "factory.toml").write_text(SETTINGS, encoding="utf-8")
    proposal = settings_with(tmp_path, options)
    assert proposal.changes == ()
    assert proposal.text is None


def test_a_repository_without_the_file_gets_one(tmp_path: Path) -> None:
    options = {"application": "images", "output-image": "quay.io/example/", "target-branch": "main"}
    proposal = settings_with(tmp_path, options)
    assert proposal.text is not None
    assert proposal.text.startswith("# What this repository's flavors have in common.")
    assert parse_settings(proposal.text) == proposal.settings == settings_of()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "--application NAME"),
        ({"application": "images"}, "--output-image PLACE"),
        ({"output-image": "quay.io/example/"}, "--application NAME"),
    ],
)
def test_what_has_to_be_there_is_asked_for(tmp_path: Path, options: dict[str, str | None], says: str) -> None:
    with pytest.raises(KonfluxError) as refused:
        settings_with(tmp_path, options)
    assert says in refused.value.solution


INLINE = 'konflux = {application = "images", output-image = "quay.io/example/", timeouts = {cuda = "9h"}}\n'
DOTTED = """\
konflux.application = "images"
konflux.output-image = "quay.io/example/"
konflux.timeouts.cuda = "9h"
"""
OUT_OF_ORDER = f"""\
[konflux.timeouts]
cuda = "9h"  # slow

{SETTINGS}"""
IN_QUOTES = """\
["konflux"]
"application" = "images"
'output-image' = 'quay.io/example/'
[ konflux . timeouts ]
cuda = "9h"
"""


@pytest.mark.parametrize("text", [INLINE, DOTTED, OUT_OF_ORDER, IN_QUOTES])
def test_every_way_of_toml_to_write_the_table_is_taken(tmp_path: Path, text: str) -> None:
    (tmp_path / "factory.toml").write_text(text, encoding="utf-8")
    as_it_is = settings_with(tmp_path, {"application": "images", "out": None})
    assert (as_it_is.settings, as_it_is.text) == (read_konflux_settings(tmp_path), None)
    changed = settings_with(tmp_path, {"application": "new", "target-branch": "next"})
    assert changed.settings == replace(as_it_is.settings, application="new", target_branch="next")
    assert changed.text is not None
    assert parse_settings(changed.text) == changed.settings
    assert ("# slow" in changed.text) == ("# slow" in text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("target-branch", "a b"),
        ("application", "A"),
        ("application", ""),
        ("service-account", "a_b"),
        ("output-image", "here"),
        ("out", "../x"),
    ],
)
def test_an_option_that_is_not_acceptable_is_not_blamed_on_the_file(
    tmp_path: Path, key: str, value: str
) -> None:
    (tmp_path / "factory.toml").write_text(SETTINGS, encoding="utf-8")
    with pytest.raises(KonfluxError) as refused:
        settings_with(tmp_path, {key: value})
    assert refused.value.reason.startswith(f"--{key}: ")
    assert "factory.toml" not in refused.value.reason


@pytest.mark.parametrize("text", ["[konflux", "konflux = 1\n", "[[konflux]]\n"])
def test_a_file_that_cannot_take_an_option_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "factory.toml").write_text(text, encoding="utf-8")
    with pytest.raises(KonfluxError):
        settings_with(tmp_path, {"application": "images", "output-image": "quay.io/example/"})
