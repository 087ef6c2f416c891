"""The spec: what is read is what was written, and what is not acceptable is refused by name."""

from dataclasses import replace
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from support.clean_flavor import NAME, PROJECT

from factory import __version__
from factory.dockerfile.references import check_image, check_index_url, check_pullable, check_tag
from factory.errors import SpecError
from factory.flavor.project import parse_project, read_project_text
from factory.flavor.spec import DEFAULT_GLIBC, Missing, Spec, check_spec, parse_spec

CPU = Spec(
    accelerator="cpu",
    accelerator_version=None,
    torch="2.13.0",
    python="3.11",
    training_hub="0.11.2",
    index_url=None,
    base_image="quay.io/example/base:1",
    downstream_base_image="quay.io/example/product@sha256:" + "0" * 64,
)
VERSIONS = st.builds(lambda *parts: ".".join(map(str, parts)), *[st.integers(0, 99)] * 3)


@st.composite
def _specs(draw: st.DrawFn) -> Spec:
    accelerator = draw(st.sampled_from(["cpu", "cuda", "rocm"]))
    return replace(
        CPU,
        accelerator=accelerator,
        accelerator_version=None if accelerator == "cpu" else draw(VERSIONS),
        torch=draw(VERSIONS),
        python=f"3.{draw(st.integers(9, 20))}",
        training_hub=draw(VERSIONS),
        index_url=draw(st.sampled_from([None, "https://packages.example.com/simple/", "http://x:8080/i"])),
        platforms=draw(st.sampled_from([("linux/amd64",), ("linux/arm64", "linux/amd64")])),
        name=draw(st.sampled_from([None, "big-one"])),
        missing=draw(st.sampled_from([(), (Missing(requirement="flash-attn>=2", reason='"no" wheel\\'),)])),
    )


def _as_table(spec: Spec) -> dict[str, object]:
    """The spec as its TOML table; what is None stands nowhere."""
    table = {
        "accelerator": spec.accelerator,
        "accelerator-version": spec.accelerator_version,
        "torch": spec.torch,
        "python": spec.python,
        "training-hub": spec.training_hub,
        "index-url": spec.index_url,
        "platforms": list(spec.platforms),
        "base-image": spec.base_image,
        "downstream-base-image": spec.downstream_base_image,
        "template-set": spec.template_set,
        "glibc": spec.glibc,
        "name": spec.name,
        "missing": [{"requirement": item.requirement, "reason": item.reason} for item in spec.missing],
    }
    return {key: value for key, value in table.items() if value is not None}


@given(_specs())
def test_a_spec_that_is_written_as_toml_reads_back_the_same(spec: Spec) -> None:
    text = tomlkit.dumps({"project": {"name": "x"}, "tool": {"factory": _as_table(spec)}})
    assert parse_project(text, where="pyproject.toml").spec == spec


def test_what_is_left_out_has_its_default() -> None:
    keys = ("accelerator", "torch", "python", "training-hub", "base-image", "downstream-base-image")
    table = {key: value for key, value in _as_table(CPU).items() if key in keys}
    spec = parse_spec(table, where="pyproject.toml")
    assert spec == CPU
    assert (spec.platforms, spec.template_set, spec.glibc) == (("linux/amd64",), "universal", DEFAULT_GLIBC)


def test_the_folder_has_the_derived_name_or_the_one_that_is_given() -> None:
    assert CPU.folder_name == CPU.derived_name == "th011-cpu-torch2130-py311"
    assert replace(CPU, name="mine").folder_name == "mine"


def test_the_requirements_are_read_as_written() -> None:
    project = parse_project(PROJECT, where="pyproject.toml")
    assert project.spec.folder_name == NAME
    assert project.dependencies[1] == "training-hub[lora]==0.9.2"
    assert project.constraints == ("urllib3>=2.6",)
    assert project.overrides == ("torchvision; sys_platform == 'never'", "protobuf>=6")
    assert project.spec.missing[0].package == "flash-attn"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"accelerator": "tpu"}, "'tpu' is not an accelerator"),
        ({"accelerator_version": "13.0"}, "cpu has no accelerator version"),
        ({"accelerator": "cuda"}, "cuda needs an accelerator version"),
        ({"accelerator": "rocm", "accelerator_version": "seven"}, "'seven' is not a PEP 440 version"),
        ({"torch": "2.x"}, "'2.x' is not a PEP 440 version"),
        ({"torch": ">=2.11"}, "is not a PEP 440 version"),
        ({"training_hub": ""}, "is not a PEP 440 version"),
        ({"python": "3"}, "'3' is not a Python minor version"),
        ({"python": "3.12.1"}, "'3.12.1' is not a Python minor version"),
        ({"python": "2.7"}, "'2.7' is not a Python minor version"),
        ({"platforms": ()}, "platforms is empty"),
        ({"platforms": ("linux/amd64", "linux/amd64")}, "names one twice"),
        ({"platforms": ("linux/s390x",)}, "'linux/s390x' is not a platform"),
        ({"index_url": "https://me:secret@x.example.com/"}, "carries credentials"),
        ({"index_url": "ftp://x.example.com/"}, "is not the URL of a package index"),
        ({"base_image": "quay.io/example/base"}, "neither a tag nor a digest"),
        ({"downstream_base_image": "https://quay.io/x:1"}, "is not an image reference"),
        ({"name": "../up"}, "leaves flavors/"),
        ({"template_set": "../elsewhere"}, "is not the name of a template set"),
        ({"template_set": "/tmp/set"}, "is not the name of a template set"),
        ({"torch": "v2.11.0"}, "is not how PEP 440 writes"),
        ({"training_hub": "0.11.2\n"}, "is not how PEP 440 writes"),
        ({"torch": " 2.11.0"}, "is not how PEP 440 writes"),
        ({"accelerator": "cuda", "accelerator_version": "13"}, "'13' is not an accelerator version"),
        ({"accelerator": "cuda", "accelerator_version": "13.0rc1"}, "is not an accelerator version"),
        ({"accelerator": "cuda", "accelerator_version": "1!13.0"}, "is not an accelerator version"),
        ({"index_url": "https://x.example.com/simple/?token=secret"}, "has a query or a fragment"),
        ({"index_url": 'https://x.example.com/"simple'}, "is not the URL of a package index"),
        ({"base_image": ""}, "is not an image reference"),
        ({"glibc": "new"}, "given for glibc"),
        ({"glibc": "2"}, "given for glibc"),
        ({"glibc": "3.0"}, "given for glibc"),
    ],
)
def test_a_value_that_is_not_acceptable_is_refused_by_name(change: dict[str, object], says: str) -> None:
    with pytest.raises(SpecError) as refused:
        check_spec(replace(CPU, **change))  # type: ignore[arg-type]
    assert says in refused.value.reason
    assert refused.value.solution


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('torch = "2.11.0"', "", "lacks torch"),
        ('torch = "2.11.0"', "torch = 2.11", "torch is not a string"),
        ('torch = "2.11.0"', 'torch = "2.11.0"\ntorhc = "2"', "unknown keys: torhc"),
        ('["linux/amd64", "linux/arm64"]', '"linux/amd64"', "platforms is not a list of strings"),
        ('["linux/amd64", "linux/arm64"]', "[1]", "platforms is not a list of strings"),
        ('reason = "the index has source distributions only"', "", "missing] lacks reason"),
        ('"the index has source distributions only"', '" "', "reason is not a text that says why"),
        ('"flash-attn>=2.8"', '"flash attn"', "is not a PEP 508 requirement"),
        ('"numpy>=2.0,<3"', '"numpy 2"', "dependencies: 'numpy 2' is not a PEP 508 requirement"),
        ('"numpy>=2.0,<3"', "2", "dependencies is not a list of strings"),
        ('["urllib3>=2.6"]', '"urllib3>=2.6"', "constraint-dependencies is not a list of strings"),
        ("[tool.factory]", "[tool.other]", "has no [tool.factory]"),
        ("[project]\n", "[project\n", "is not TOML"),
    ],
)
def test_a_pyproject_that_is_not_acceptable_is_refused_with_the_files_name(
    old: str, new: str, says: str
) -> None:
    assert old in PROJECT
    with pytest.raises(SpecError) as refused:
        parse_project(
            PROJECT.replace(old, new).replace("[[tool.factory.missing]]", _missing(new)), where="here.toml"
        )
    assert refused.value.reason.startswith("here.toml")
    assert says in refused.value.reason
    assert refused.value.solution


def _missing(new: str) -> str:
    """Where the spec's table is renamed, the list of what is missing would bring it back."""
    return "[[tool.other.missing]]" if new == "[tool.other]" else "[[tool.factory.missing]]"


@pytest.mark.parametrize(("mark", "says"), [(b"\xef\xbb\xbf", "byte order mark"), (b"\xff\xfe", "not UTF-8")])
def test_a_project_that_is_no_plain_utf8_is_refused(tmp_path: Path, mark: bytes, says: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(mark + PROJECT.encode())
    with pytest.raises(SpecError, match=says):
        read_project_text(tmp_path)


@pytest.mark.parametrize(
    "reference",
    [
        "quay.io/example/base:1",
        "localhost:5000/base:1.2-rc_3",
        "localhost/base:latest",
        "registry.example.com/a/b__c/d-e.f@sha256:" + "a" * 64,
        "quay.io/example/base:1@sha256:" + "a" * 64,
    ],
)
def test_an_image_with_a_tag_or_a_digest_is_accepted(reference: str) -> None:
    assert check_image(reference, of="base-image") == reference


@pytest.mark.parametrize(
    ("reference", "full"),
    [
        ("wandb/launch-agent:latest", "docker.io/wandb/launch-agent:latest"),
        ("python:3.12", "docker.io/library/python:3.12"),
        ("python@sha256:" + "a" * 64, "docker.io/library/python@sha256:" + "a" * 64),
    ],
)
def test_a_short_name_is_refused_with_the_full_one(reference: str, full: str) -> None:
    with pytest.raises(SpecError, match="short name") as caught:
        check_image(reference, of="base-image")
    assert f"Write {full} " in caught.value.solution
    assert check_pullable(reference, of="a FROM") == reference


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "base",
        "quay.io:443/base",
        "docker://quay.io/base:1",
        "quay.io/Base:1",
        "quay.io/base:",
        "quay.io/base:1 --privileged",
        "quay.io/base:1\nRUN rm",
        "quay.io/base@sha256:abc",
        "quay.io/base:" + "1" * 129,
    ],
)
def test_an_image_that_names_nothing_certain_is_refused(reference: str) -> None:
    with pytest.raises(SpecError):
        check_image(reference, of="base-image")


@pytest.mark.parametrize(
    "url",
    ["https://x.example.com/simple/", "http://127.0.0.1:8080/simple", "https://x.example.com/a%20b/simple/"],
)
def test_an_index_url_is_accepted_as_written(url: str) -> None:
    assert check_index_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x.example.com/simple",
        "file:///srv/simple",
        "https://",
        "https://x.example.com/si mple",
        "https://x.example.com/\n--extra-index-url https://y",
        "https://[::1/simple",
        "https://x.example.com:port/simple",
        'https://x.example.com/"simple',
        "https://x.example.com/$HOME",
    ],
)
def test_what_is_no_index_url_is_refused(url: str) -> None:
    with pytest.raises(SpecError):
        check_index_url(url)


@pytest.mark.parametrize("url", ["https://me:secret@x.example.com/", "https://secret@x.example.com/simple"])
def test_a_refused_url_with_credentials_is_not_repeated(url: str) -> None:
    with pytest.raises(SpecError) as refused:
        check_index_url(url)
    assert "secret" not in refused.value.reason + refused.value.solution
    assert "netrc" in refused.value.solution


@pytest.mark.parametrize("name", ["localhost/x:latest", "x", "registry.example.com:5000/a/b:1.0"])
def test_a_built_image_is_given_a_name_with_or_without_a_tag(name: str) -> None:
    assert check_tag(name) == name


@pytest.mark.parametrize("name", ["x@sha256:" + "0" * 64, "X", "a b", "", "https://x/y"])
def test_what_cannot_name_a_built_image_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="is not a name that an image can be given"):
        check_tag(name)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", f"A factory newer than this one, {__version__}, may know more."),
        (f'factory-version = "{__version__}"\n', f"{__version__}, may know more; the same wrote the file."),
        ('factory-version = "0.0.1"\n', "may know more; factory 0.0.1 wrote the file."),
        (
            'factory-version = "99.1"\n',
            f"factory 99.1 wrote the file, and this is {__version__}: take that one",
        ),
        ('factory-version = "what?"\n', "may know more; factory what? wrote the file."),
    ],
)
def test_an_unknown_key_says_which_factory_wrote_the_file(line: str, says: str) -> None:
    text = PROJECT.replace("[tool.factory]\n", f"[tool.factory]\n{line}accelerator-count = 8\n")
    with pytest.raises(SpecError, match="unknown keys: accelerator-count") as refused:
        _ = parse_project(text, where="pyproject.toml").spec
    assert says in refused.value.solution
