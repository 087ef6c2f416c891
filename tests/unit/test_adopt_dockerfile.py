"""Hand-made Dockerfiles: every instruction is placed once, where it belongs, and the hooks say the same."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.adopted import EMPTY, GIVEN, INSTALL, SPEC

from factory.adopt.dockerfile import read_old_dockerfile
from factory.adopt.folder import Folder, read_folder
from factory.adopt.instructions import place_dockerfile, place_downstream
from factory.adopt.placement import Placement
from factory.adopt.template import TemplateContent
from factory.check.dockerfiles import check_instruction
from factory.flavor.hooks import Hooks, check_hooks
from factory.flavor.project import Project
from factory.render.render import render_flavor

LAYER = "the install layer"
BLOCK = "########\n# MIDSTREAM ONLY: packages\n########\n{}\n########\n# END MIDSTREAM ONLY\n########"


def _place(text: str, folder: Folder = EMPTY) -> tuple[tuple[Placement, ...], Hooks]:
    placements, draft = place_dockerfile(read_old_dockerfile("Dockerfile", text.encode()), folder, GIVEN)
    return placements, check_hooks(draft.hooks())


def _one(line: str, *, before: str = "", after: str = "", folder: Folder = EMPTY) -> tuple[Placement, Hooks]:
    """What becomes of one instruction after the install, and the hooks."""
    head = f"FROM quay.io/example/base:1\n{before}\n"
    text = f"{head}{INSTALL}\n{line}\n{after}\n"
    placements, hooks = _place(text, folder)
    number = f"{head}{INSTALL}\n".count("\n") + 1
    return next(each for each in placements if each.line is not None and each.line >= number), hooks


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for path, text in {
        "own.py": "OWN = 1\n",
        "conf/a.ini": "a\n",
        "conf/b.ini": "b\n",
        "cuda.repo": "[c]\nbaseurl=https://x.example.com\n",
        "good.repo": "[g]\nbaseurl=https://rpm.example.com\ngpgcheck=1\n",
        "bad.repo": "[b]\nbaseurl=https://rpm.example.com\ngpgcheck=0\n",
        "pip.conf": "index-url = https://me:s3cret@x.example.com/\n",
        "requirements.txt": "a==1\n",
        "LICENSE.md": "mine\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return read_folder(tmp_path)


@pytest.mark.parametrize(
    ("line", "place", "to"),
    [
        (INSTALL, "template", "the install layer"),
        ("RUN fix-permissions /opt/app-root", "template", "the install layer"),
        ("RUN dnf install -y rdma-core && dnf clean all", "template", "its list of system packages"),
        ("RUN dnf install -y rdma-core jq && dnf clean all", "hook", "hooks.system-packages"),
        ("RUN dnf install -y --enablerepo=x jq", "hook", "hooks.midstream"),
        ("RUN ln -s /a /b", "hook", "hooks.after-install"),
        ('RUN ["ln", "-s", "/a b", "/c"]', "hook", "hooks.after-install"),
        ("RUN pip install 'trl>=1'", "spec", "dependencies"),
        ("RUN pip install git+https://git.example.com/x", "not kept", ""),
        ("RUN curl -O https://x.example.com/y && ln -s a b", "not kept", ""),
        ("RUN cat <<EOF > /x\nhi\nEOF", "not kept", ""),
        ("RUN pip install --extra-index-url https://x.example.com/ -r a/requirements.txt", "template", LAYER),
        ("RUN pip install -i https://me:s3cret@x.example.com/ -r requirements.txt", "template", LAYER),
        ("RUN pip install --extra-index-url https://x.example.com/ -r r.txt && make", "not kept", ""),
        ('RUN echo "export X=1" >> /etc/profile', "hook", "hooks.after-install"),
        ("RUN . ./setup.sh", "hook", "hooks.after-install"),
        (
            "RUN if [ -f /cachi2/cachi2.env ]; then . /cachi2/cachi2.env; fi && uv pip sync a.txt",
            "template",
            LAYER,
        ),
        ("ENV A=1 B=2", "hook", "hooks.environment"),
        ("ENV CUDA_HOME=/usr/local/cuda", "template", "its environment"),
        ("ENV PATH=/usr/local/cuda/bin:$PATH", "template", "its environment"),
        ("ENV A='a\\\\b'", "hook", "hooks.after-install"),
        ("ENV A=1 B=$A", "hook", "hooks.after-install"),
        ("ENV UV_INDEX_URL=https://x.example.com/", "spec", "index-url"),
        ("ENV PIP_EXTRA_INDEX_URL=https://x.example.com/", "not kept", ""),
        ("ENV UV_INDEX_STRATEGY=unsafe-best-match", "not kept", ""),
        ("ENV PIP_INDEX_URL=https://me:s3cret@x.example.com/", "not kept", ""),
        ("LABEL name=x version=1", "template", "its labels"),
        ("LABEL name=x com.example.team=y", "hook", "hooks.after-install"),
        ("LABEL com.example.team=' y '", "hook", "hooks.after-install"),
        ('LABEL "a b"=c', "not kept", ""),
        ("ENV A-B=1", "not kept", ""),
        ("COPY requirements.txt /tmp/", "template", "the files that it copies"),
        ("COPY LICENSE.md /licenses/", "template", "the files that it copies"),
        ("COPY own.py /opt/", "hook", "hooks.after-install"),
        ("COPY conf/ /opt/conf/", "hook", "hooks.after-install"),
        ("COPY conf/*.ini /opt/conf/", "hook", "hooks.after-install"),
        ('COPY ["own.py", "/opt/"]', "hook", "hooks.after-install"),
        ("COPY own.py LICENSE.md /opt/", "not kept", ""),
        ("COPY . /opt/app-root/src", "not kept", ""),
        ("COPY gone.txt /opt/", "not kept", ""),
        ("COPY pip.conf /etc/", "not kept", ""),
        ("COPY conf/ /opt/app-root/lib/python3.12/site-packages/", "not kept", ""),
        ("COPY own.py /opt/app-root/lib/python3.12/site-packages/", "hook", "hooks.after-install"),
        ("COPY cuda.repo /etc/yum.repos.d/", "template", "the files that it copies"),
        ("COPY good.repo cuda.repo /etc/yum.repos.d/", "hook", "hooks.files"),
        ("COPY bad.repo /etc/yum.repos.d/", "not kept", ""),
        ("COPY --from=ghcr.io/x/uv:1 /uv /usr/bin/uv", "template", "uv"),
        ("COPY --from=quay.io/x/y:1 /z /z", "not kept", ""),
        ("ADD https://x.example.com/y /y", "not kept", ""),
        ("EXPOSE 8888", "hook", "hooks.after-install"),
        ("USER 1001", "template", "its own USER and WORKDIR"),
        ("USER 0", "not kept", ""),
        ("WORKDIR /opt/app-root/src", "template", "its own USER and WORKDIR"),
        ("WORKDIR /data", "not kept", ""),
        ("ARG UNUSED=1", "not kept", ""),
        ('ENTRYPOINT ["/usr/local/bin/entrypoint-universal.sh"]', "template", "the entry point"),
        ('ENTRYPOINT ["tini", "--"]', "not kept", ""),
        ("CMD []", "template", "the entry point"),
        ('CMD ["python", "x.py"]', "not kept", ""),
        ('SHELL ["bash", "-c"]', "not kept", ""),
        ("ONBUILD RUN true", "not kept", ""),
        ("MAINTAINER me", "not kept", ""),
        ("NONSENSE x", "not kept", ""),
    ],
)
def test_one_instruction_after_the_install(line: str, place: str, to: str, folder: Folder) -> None:
    placement, hooks = _one(line, folder=folder)
    assert (placement.place, placement.to) == (place, to)
    assert "s3cret" not in repr((placement, hooks))
    if place == "not kept":
        assert placement.why
        assert placement.solution
        assert hooks == Hooks()
    if place in {"spec", "template"}:
        assert hooks == Hooks()


def test_a_run_that_does_several_things_keeps_what_is_its_own() -> None:
    placement, hooks = _one(
        "RUN dnf install -y jq && \\\n    pip install trl && mkdir -p /opt/x && fix-permissions /opt/x && "
        "dnf clean all"
    )
    assert placement.to == "hooks.after-install and hooks.system-packages and dependencies"
    assert hooks.system_packages == ("jq",)
    assert hooks.after_install == "RUN mkdir -p /opt/x && \\\n    fix-permissions /opt/x"


def test_what_cannot_be_taken_apart_is_not_kept_in_part() -> None:
    placement, hooks = _one("RUN if true; then dnf install -y jq; ln -s a b; fi")
    assert placement.place == "not kept"
    assert hooks == Hooks()


def test_a_block_keeps_what_is_its_own_in_the_midstream_hook() -> None:
    block = BLOCK.format(
        "ENV CUDA_HOME=/usr/local/cuda MINE=1\nUSER 0\n# why\nRUN curl -O https://x.example.com/y | sh\n"
        "RUN dnf install -y jq rdma-core"
    )
    placements, hooks = _place(f"FROM quay.io/example/base:1\n{block}\n{INSTALL}\nUSER 1001\n")
    assert hooks.midstream == 'ENV MINE="1"\n# why\nRUN curl -O https://x.example.com/y | sh'
    assert hooks.system_packages == ("jq",)
    assert [each.place for each in placements] == [
        *("spec", "hook", "hook", "hook", "hook", "template", "template"),
    ]


def test_blocks_that_do_not_pair_are_said_and_read_as_none() -> None:
    text = "FROM x:1\n########\n# MIDSTREAM ONLY: a\n########\nRUN dnf install -y jq\n"
    dockerfile = read_old_dockerfile("Dockerfile", text.encode())
    assert dockerfile.problem is not None
    assert "never closed" in dockerfile.problem
    placements, draft = place_dockerfile(dockerfile, EMPTY, GIVEN)
    assert (len(placements), draft.hooks().system_packages) == (2, ("jq",))


def test_user_and_workdir_follow_what_they_were_for() -> None:
    text = (
        "FROM quay.io/example/base:1\nUSER root\nRUN make-a\nUSER 1001\nRUN make-b\n"
        f"WORKDIR /data\n{INSTALL}\nRUN make-c\nUSER 0\nRUN make-d\nUSER 1001\nWORKDIR /opt/app-root/src\n"
    )
    placements, hooks = _place(text)
    assert hooks.before_install == "USER 0\nRUN make-a\nUSER 1001\nRUN make-b"
    assert hooks.after_install == "WORKDIR /data\nRUN make-c\nUSER 0\nRUN make-d"
    assert all(each.place != "not kept" for each in placements)


def test_arguments_go_where_they_are_needed() -> None:
    text = (
        "ARG ROOT=/srv\nARG BASE=quay.io/example/base:1\nFROM ${BASE}\nARG ROOT\nARG PLACE=${ROOT}/x\n"
        f"ARG V=13-0\nRUN dnf install -y cuda-nvcc-$V\nRUN mkdir $PLACE\n{INSTALL}\nENV HERE=$PLACE\n"
    )
    placements, hooks = _place(text)
    arguments = 'ARG ROOT="/srv"\nARG PLACE="${ROOT}/x"\n'
    assert hooks.before_install == f"{arguments}RUN mkdir $PLACE"
    assert hooks.after_install == f"{arguments}ENV HERE=$PLACE"
    assert hooks.system_packages == ()
    assert [each.place for each in placements if each.what.startswith("ARG")] == [
        *("hook", "spec", "hook", "hook", "template"),
    ]


def test_an_earlier_variable_that_a_block_needs_is_set_there_too() -> None:
    block = BLOCK.format("RUN install-into $TOOLS")
    _, hooks = _place(f"FROM quay.io/example/base:1\nENV TOOLS=/opt/tools\n{block}\n{INSTALL}\n")
    assert hooks.environment == (("TOOLS", "/opt/tools"),)
    assert hooks.midstream == 'ENV TOOLS="/opt/tools"\nRUN install-into $TOOLS'


def test_a_second_value_of_a_variable_keeps_its_place() -> None:
    _, hooks = _place(f"FROM a:1\nENV P=/a:$P\n{INSTALL}\nENV P=/b:$P\n")
    assert (hooks.environment, hooks.after_install) == ((("P", "/a:$P"),), "ENV P=/b:$P")


BUILDER = (
    "FROM quay.io/example/base:1 AS builder\nUSER 0\nWORKDIR /build\nENV PIP_NO_CACHE_DIR=1\n"
    f"RUN dnf install -y gcc\nCOPY requirements.txt ./\n{INSTALL}\nRUN make -C /x\n"
    "FROM quay.io/example/base:1\nRUN first\n"
    "COPY --from=builder /opt/app-root/lib/python3.12/site-packages /opt/app-root/lib/python3.12/\n"
    "COPY --from=builder /opt/app-root/src/data /data\nRUN second\n"
)


def test_a_builder_stage_installs_and_leaves_nothing_else() -> None:
    placements, hooks = _place(BUILDER)
    assert [each.place for each in placements] == [
        *("template", "template", "template", "template", "not kept", "template", "template", "not kept"),
        *("spec", "hook", "template", "not kept", "hook"),
    ]
    assert (hooks.before_install, hooks.after_install) == ("RUN first", "RUN second")


def test_a_stage_that_the_final_one_builds_on_is_the_image_as_well() -> None:
    placements, hooks = _place(f"FROM quay.io/example/base:1 AS base\nRUN first\nFROM base\n{INSTALL}\n")
    assert [each.place for each in placements] == ["spec", "hook", "template", "template"]
    assert hooks.before_install == "RUN first"


def test_a_stage_on_another_image_is_not_kept() -> None:
    placements, _ = _place(f"FROM docker.io/golang:1 AS go\nFROM quay.io/example/base:1\n{INSTALL}\n")
    assert [each.place for each in placements] == ["not kept", "spec", "template"]


def test_downstream_what_is_the_same_goes_the_same_way_and_the_rest_has_no_place() -> None:
    text = f"FROM a:1\nENV A=1\nRUN pip install git+https://x/y\n{INSTALL}\n"
    midstream = read_old_dockerfile("Dockerfile", text.encode())
    text = f"FROM b:1\nENV  A=1\nRUN pip install git+https://x/y\n{INSTALL}\nENV B=2\nCMD []\n"
    text += "RUN pip install -U 'pip>=26.1.2'\n"
    placed, draft = place_dockerfile(midstream, EMPTY, GIVEN)
    downstream = read_old_dockerfile("Dockerfile.konflux", text.encode())
    pairs = tuple(zip(midstream.steps, placed, strict=True))
    found = place_downstream(downstream, pairs, draft, EMPTY, GIVEN)
    assert [(each.place, each.to) for each in found] == [
        ("spec", "downstream-base-image"),
        ("hook", "hooks.environment"),
        ("not kept", ""),
        ("template", "the install layer"),
        ("not kept", ""),
        ("template", "the entry point"),
        ("spec", "dependencies"),
    ]
    assert list(draft.requirements) == ["pip>=26.1.2"]


LINES = st.sampled_from(
    [
        *("USER 0", "USER 1001", "WORKDIR /x", "ARG A=1", "ARG B", "ENV A=1", "ENV A=2 B=$A", "ENV C $B"),
        *("RUN a", "RUN a $A && \\\n # why\n b", "RUN dnf install -y jq", INSTALL, "RUN ['a']", 'RUN ["a"]'),
        *("RUN dnf install -y jq && a", "RUN <<E\na\nE", "RUN curl x.example.com", "COPY own.py /"),
        *("COPY . /", "LABEL a=b", "EXPOSE 1", "CMD []", "ENTRYPOINT x", 'SHELL ["a"]', "ONBUILD RUN a"),
        *("FROM a:1", "FROM a:1 AS b", "FROM b", "COPY --from=b /x /x", "what", "# a comment", ""),
        *(
            "RUN pip install trl",
            "RUN if a; then b; fi",
            "HEALTHCHECK CMD a",
            "ADD https://x.example.com/y /",
        ),
        *("ENV", "ARG", "COPY x", "RUN", "FROM", "ENV A='", "LABEL", "USER", "RUN a \\", "RUN 'a"),
        BLOCK.format("RUN a\nENV Z=1\nRUN dnf install -y jq && a"),
    ]
)


@given(st.lists(LINES, max_size=14))
@settings(deadline=None, max_examples=300)
def test_every_instruction_is_placed_exactly_once_and_the_hooks_can_stand(lines: list[str]) -> None:
    dockerfile = read_old_dockerfile("Dockerfile", "\n".join(lines).encode())
    placements, draft = place_dockerfile(dockerfile, EMPTY, GIVEN)
    assert [each.line for each in placements] == [step.line for step in dockerfile.steps]
    assert {each.place for each in placements} <= {"spec", "hook", "template", "not kept"}
    assert all(each.why and each.solution for each in placements if each.place == "not kept")
    _everything_kept_is_there(placements, check_hooks(draft.hooks()))


def _everything_kept_is_there(placements: tuple[Placement, ...], hooks: Hooks) -> None:
    """A hook is named where there is one, and there is none that no placement names."""
    named = " ".join(each.to for each in placements if each.place == "hook")
    for key, value in (
        ("hooks.environment", hooks.environment),
        ("hooks.system-packages", hooks.system_packages),
        ("hooks.midstream", hooks.midstream),
        ("hooks.before-install", hooks.before_install),
        ("hooks.after-install", hooks.after_install),
    ):
        assert (key in named) == bool(value), (key, value, named)


def test_read_template_is_read_from_what_it_renders() -> None:
    assert isinstance(GIVEN, TemplateContent)
    assert GIVEN.has_package("rdma-core")
    assert GIVEN.has_package("libnccl")
    assert not GIVEN.has_package("libnccl-2.27.3-1+cuda13.0")
    assert GIVEN.pinned_by("libnccl-2.27.3-1+cuda13.0") == "libnccl-2*+cuda13.*"
    assert not GIVEN.has_package("jq")
    assert GIVEN.has_variable("LD_LIBRARY_PATH", "/usr/local/cuda/lib64:$LD_LIBRARY_PATH")
    assert not GIVEN.has_variable("CUDA_HOME", "/opt/cuda")


@given(st.lists(LINES, max_size=14))
@settings(deadline=None, max_examples=100)
def test_what_is_kept_breaks_no_rule_for_dockerfiles(lines: list[str]) -> None:
    dockerfile = read_old_dockerfile("Dockerfile", "\n".join(lines).encode())
    _, draft = place_dockerfile(dockerfile, EMPTY, GIVEN)
    spec = replace(SPEC, hooks=draft.hooks())
    project = Project(spec=spec, dependencies=(), constraints=(), overrides=())
    for file in render_flavor(project, name=spec.folder_name):
        if file.path.startswith("Dockerfile"):
            for step in read_old_dockerfile(file.path, file.content).steps:
                assert not list(check_instruction(file.path, step.instruction, in_block=step.in_block))


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("LABEL a.b=' y ' name=x", 'LABEL a.b="y"'),
        ("LABEL a.b='y' name=x", 'LABEL a.b="y"'),
        ("LABEL a.b='y'", "LABEL a.b='y'"),
        (r"ENV A='a\\b'", r"ENV A='a\\b'"),
        (r'ENV CUDA_HOME=/usr/local/cuda A="\\x"', r'ENV CUDA_HOME=/usr/local/cuda A="\\x"'),
    ],
)
def test_what_is_written_with_care_stays_as_it_is(line: str, after: str) -> None:
    assert _one(line)[1].after_install == after


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("RUN pip install --pre -r requirements.txt", "left out: --pre"),
        ("RUN pip install --no-binary=x -f https://x.example.com/ -r requirements.txt", "--no-binary=x, -f"),
        ("RUN pip install --pre trl", "left out: --pre"),
    ],
)
def test_an_option_that_chooses_other_files_is_said_to_be_left_out(
    line: str, said: str, folder: Folder
) -> None:
    assert said in _one(line, folder=folder)[0].why
