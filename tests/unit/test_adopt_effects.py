"""What a hand-made Dockerfile does to its image is kept or named, and secrets are neither kept nor shown."""

from pathlib import Path

import pytest
from support.adopted import place

from factory.adopt.commands import read_part
from factory.adopt.folder import read_folder
from factory.adopt.placement import printable


@pytest.mark.parametrize(
    "text",
    [
        *(
            "mkdir workspace",
            "mkdir -p /opt/app-root/src/.cache/huggingface",
            "mkdir /tmp/x",
            "rm -rf jupyter",
        ),
        *("rm -rf /tmp/x", "chmod 2775 workspace", "chmod +x /opt/app-root/bin/run.sh", "chmod g+w x"),
        *("chmod 4755 /opt/app-root/x", "chmod -R 700 /opt/app-root", "chmod -R g+w /opt/app-root/data"),
        *("chmod g+w /opt/app-root", "chown -R 1001:0 /opt/app-root/data", "chmod 0600 /opt/app-root/x"),
        *("chown -R 1234 /opt/app-root", "fix-permissions /opt/app-root/data", "chmod +x my-entrypoint.sh"),
        "bash -c 'echo \"kernel.x=1\" > /etc/sysctl.d/x.conf'",
        'bash -lc "export X=1; echo \\$X >> /etc/environment"',
        "echo a | sh -c 'printf y > /etc/b'",
        'echo "$(echo x > /etc/y)"',
        "/bin/sh -c 'echo exec > /opt/exec'",
    ],
)
def test_what_has_an_effect_is_the_folders_own(text: str) -> None:
    assert read_part(text, {}, in_block=False).kind == "own"


@pytest.mark.parametrize(
    "text",
    [
        *("chmod -R g+w /opt/app-root", "chmod -R g=u /opt/app-root/lib", "chown -R 1001:0 /opt/app-root"),
        *("fix-permissions /opt/app-root", "chmod 755 /usr/local/bin/entrypoint-universal.sh"),
    ],
)
def test_rights_that_the_install_step_gives_are_known(text: str) -> None:
    assert read_part(text, {}, in_block=False).kind == "rights"


def test_the_mode_of_the_entry_point_is_given_where_the_template_copies_it() -> None:
    chmod = "chmod 0755 /usr/local/bin/entrypoint-universal.sh"
    assert place(f"RUN {chmod} && touch /etc/own\n").hooks.after_install == "RUN touch /etc/own"
    assert place(f"RUN touch /opt/app-root/own && {chmod}\n").hooks.after_install.endswith("/own")


SITE = "/opt/app-root/lib/python3.12/site-packages"


@pytest.mark.parametrize(
    ("lines", "after"),
    [
        ("RUN chmod -R g+w /opt/app-root", ""),
        ("RUN ln -s /a /b\nRUN fix-permissions /opt/app-root", "RUN ln -s /a /b"),
        (
            f"COPY own.py {SITE}/\nRUN fix-permissions /opt/app-root -P",
            f"COPY own.py {SITE}/\nRUN fix-permissions {SITE}/own.py -P",
        ),
        (
            f"COPY own.py {SITE}\nCOPY conf/ /opt/app-root/share/\nRUN fix-permissions /opt/app-root",
            (
                f"COPY own.py {SITE}\nCOPY conf/ /opt/app-root/share/\nRUN fix-permissions {SITE}/own.py && "
                "\\\n    fix-permissions /opt/app-root/share/a.ini && fix-permissions /opt/app-root/share/b"
            ),
        ),
        (
            "USER 0\nCOPY own.py /opt/app-root/own.py\nRUN chmod -R g=u /opt/app-root",
            "COPY own.py /opt/app-root/own.py\nUSER 0\nRUN chmod -R g=u /opt/app-root/own.py",
        ),
        (
            "RUN mkdir -p /opt/app-root/x data && fix-permissions /opt/app-root",
            (
                "RUN mkdir -p /opt/app-root/x data && fix-permissions /opt/app-root/x && "
                "fix-permissions /opt/app-root/src/data"
            ),
        ),
        (
            "COPY conf/ /opt/app-root/own/\nRUN fix-permissions /opt/app-root",
            "COPY conf/ /opt/app-root/own/\nRUN fix-permissions /opt/app-root/own",
        ),
        (
            "USER 0\nRUN mkdir data\nRUN chgrp -R 0 /opt/app-root",
            "USER 0\nRUN mkdir data\nRUN chgrp -R 0 /opt/app-root/src/data",
        ),
    ],
)
def test_rights_are_given_to_the_folders_own_files_and_to_no_package(
    lines: str, after: str, tmp_path: Path
) -> None:
    for path in ("own.py", "conf/a.ini", "conf/b/c.ini"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("own\n")
    found = place(f"{lines}\n", read_folder(tmp_path)).hooks.after_install
    assert " ".join(found.replace("\\\n", "").split()) == " ".join(after.replace("\\\n", "").split())


def test_rights_over_what_cannot_be_known_are_named_with_what_to_do() -> None:
    placed = place("RUN make PREFIX=/opt/app-root\nRUN fix-permissions /opt/app-root\n")
    assert placed.hooks.after_install == "RUN make PREFIX=/opt/app-root"
    assert "second layer" in placed.placements[-1].why
    assert "fix-permissions FOLDER" in placed.placements[-1].solution
    placed = place("RUN make PREFIX=/opt/app-root && fix-permissions /opt/app-root\n")
    assert placed.hooks.after_install == "RUN make PREFIX=/opt/app-root"
    assert "without fix-permissions /opt/app-root: " in placed.placements[-1].why


def test_beside_the_install_what_is_the_folders_own_is_kept() -> None:
    placed = place("RUN pip install -r requirements.txt && bash -c 'echo x > /etc/a'\n")
    assert placed.hooks.after_install == "RUN bash -c 'echo x > /etc/a'"


def test_variables_keep_their_values_in_their_order() -> None:
    placed = place("ENV A=1 B=$A\nENV A=2\n")
    assert placed.hooks.environment == ()
    assert placed.hooks.after_install == "ENV A=1 B=$A\nENV A=2"


@pytest.mark.parametrize("lines", ["RUN make $MODE\nENV MODE=late", "ENV A=1 B=$A\nENV MODE=$A"])
def test_a_variable_is_not_set_before_its_time(lines: str) -> None:
    assert place(f"{lines}\n").hooks.after_install == lines


def test_an_argument_that_changes_has_each_value_in_its_place() -> None:
    lines = "ARG V=1\nRUN a $V\nARG V=2\nRUN b $V\n"
    assert place(lines).hooks.after_install == "ARG V=1\nRUN a $V\nARG V=2\nRUN b $V"
    assert place(lines, install_after="RUN c $V\n").hooks.before_install.endswith("RUN b $V")
    assert place(lines, install_after="RUN c $V\n").hooks.after_install == "ARG V=2\nRUN c $V"


@pytest.mark.parametrize(
    ("lines", "folder"),
    [
        ("WORKDIR /srv\nWORKDIR app\n", "/srv/app"),
        ("WORKDIR data\n", "/opt/app-root/src/data"),
        ("WORKDIR /srv\nWORKDIR $HOME\n", "$HOME"),
        ("WORKDIR /srv\nWORKDIR ../x\n", "/srv/../x"),
    ],
)
def test_a_relative_workdir_follows_from_the_one_before(lines: str, folder: str) -> None:
    assert place(f"{lines}RUN make\n").hooks.after_install == f"WORKDIR {folder}\nRUN make"


def test_of_an_env_only_what_is_secret_is_left_out() -> None:
    placed = place("ENV A=1 PIP_EXTRA_INDEX_URL=https://me:s3cret@x.example.com/ HF_TOKEN=s3cret B=2\n")
    (found,) = (each for each in placed.placements if each.place == "not kept")
    assert placed.hooks.environment == (("A", "1"), ("B", "2"))
    assert "hooks.environment" in found.why
    assert "HF_TOKEN" in found.why
    assert "s3cret" not in repr(placed)


@pytest.mark.parametrize(
    "line",
    [
        *("ENV HF_TOKEN s3cret", "ENV PASSWORD=s3cret", "ENV API_KEY='s3cret x'", "ENV MY_SECRET=s3cret"),
        *("RUN export HF_TOKEN=s3cret && make", 'RUN DB_PASSWORD="s3cret" make'),
    ],
)
def test_a_secret_is_neither_kept_nor_shown(line: str) -> None:
    placed = place(f"{line}\n")
    assert placed.placements[-1].place == "not kept"
    assert "s3cret" not in repr(placed)


def test_an_argument_keeps_its_name_and_not_its_secret() -> None:
    placed = place("ARG HF_TOKEN=s3cret\nRUN fetch --with $HF_TOKEN\n")
    assert placed.hooks.after_install == "ARG HF_TOKEN\nRUN fetch --with $HF_TOKEN"
    assert "s3cret" not in repr(placed)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "HF_TOKEN=$TOKEN",
            "TOKEN=",
            'TOKEN=""',
            "SSL_KEY=/etc/x.key",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN=true",
        ),
        *("TOKENIZERS_PARALLELISM=false", "MAX_TOKENS=40960", "HF_TOKEN_PATH=x", "USE_TOKEN=1"),
    ],
)
def test_what_only_looks_like_a_secret_is_shown(text: str) -> None:
    assert printable(text) == text


def test_the_real_packages_of_a_chain_are_named() -> None:
    placed = place("RUN pip install --upgrade pip && pip install nbgitpuller==1.2.1 && jupyter lab build\n")
    assert placed.placements[-1].to == "hooks.after-install and dependencies"
    assert "nbgitpuller==1.2.1" in placed.placements[-1].why
    assert placed.hooks.after_install == "RUN jupyter lab build"


@pytest.mark.parametrize(
    "line",
    [
        'ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh"]',
        'CMD ["wrapper-entrypoint", "--serve"]',
        'ENTRYPOINT ["/usr/local/bin/entrypoint-universal.sh", "--own"]',
        "ENTRYPOINT /opt/own/entrypoint.sh",
    ],
)
def test_another_entry_point_is_named(line: str) -> None:
    assert place(f"{line}\n").placements[-1].place == "not kept"


def test_what_is_kept_and_needs_a_file_that_is_not_copied_is_said() -> None:
    placed = place("COPY requirements.txt /tmp/\nRUN sha256sum /tmp/requirements.txt > /etc/lock.sum\n")
    assert "requirements.txt is not copied as in line 3" in placed.placements[-1].why
