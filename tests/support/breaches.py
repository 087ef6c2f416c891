"""The table of breaches: an edit of one file of a clean flavor, and the finding that it must give."""

from dataclasses import dataclass

from support.clean_flavor import INDEX, lock_text

HEX = "a" * 64
WAIVER = '\n[[tool.factory.waivers]]\nfinding = "{}"\nreason = "known"\nexpires = {}\n'
LOCK = "requirements.txt"
TOML = "pyproject.toml"
RUN_MARK = "USER 1001\n"


@dataclass(frozen=True)
class Breach:
    """An edit of one file of a clean flavor, and the finding that it must give.

    ``at`` is text of the line that the finding must point to; None where it points to no line.
    """

    code: str
    path: str
    old: str
    new: str
    at: str | None
    says: str = ""


def _toml(code: str, old: str, new: str, at: str | None, says: str = "") -> Breach:
    return Breach(code, TOML, old, new, at, says)


def _lock(code: str, old: str, new: str, at: str | None, says: str = "") -> Breach:
    return Breach(code, LOCK, old, new, at, says)


def _waiver(code: str, finding: str, expires: str, says: str) -> Breach:
    end = 'reason = "the index has source distributions only"\n'
    return _toml(code, end, end + WAIVER.format(finding, expires), "[[tool.factory.waivers]]", says)


def _docker(code: str, line: str, at: str, says: str = "") -> Breach:
    """One more line in the final stage, outside the MIDSTREAM ONLY block."""
    return Breach(code, "Dockerfile", RUN_MARK, f"{RUN_MARK}{line}\n", at, says)


UV = "[tool.uv]\n"
EXTRA = "https://extra.example.com/simple"
OPTION = f"--index-url {INDEX}\n"
FIRST_DIGEST = lock_text().partition("--hash=sha256:")[2][:64]
OTHER_DIGEST = f"{FIRST_DIGEST[:-1]}{'0' if FIRST_DIGEST[-1] != '0' else '1'}"
# The last entry, and one that nothing in PROJECT depends on.
URLLIB3_PIN = lock_text()[lock_text().index("urllib3==") :]
BREACHES = [
    Breach("FAC102", "LICENSE.md", "", "Another licence.\n", None),
    _toml("FAC201", 'torch = "2.11.0"\n', "", None, "lacks torch"),
    _toml("FAC201", "[tool.factory]", "[tool.factory", None, "is not TOML"),
    _toml("FAC201", '"numpy>=2.0,<3"', '"numpy==2 0"', None, "PEP 508"),
    _toml("FAC202", 'torch = "2.11.0"', 'torch = "2.10.0"', "[tool.factory]", "torch2100"),
    _toml("FAC202", 'torch = "2.11.0"', 'torch = "2.11.0"\nname = "big"', "[tool.factory]", "big"),
    _toml("FAC203", "torch==2.11.0", "torch==2.10.0", "torch==2.10.0", "the spec says torch 2.11.0"),
    _toml("FAC203", "[lora]==0.9.2", "[lora]<0.9", "training-hub", "training-hub 0.9.2"),
    _toml("FAC203", '"urllib3>=2.6"', '"Training_Hub<0.9"', "Training_Hub", "constraint-dependencies"),
    _toml("FAC204", "==3.12.*", "==3.11.*", "requires-python", "3.12"),
    _toml("FAC204", "==3.12.*", "three", "requires-python", "three"),
    _toml("FAC205", UV, f'{UV}index-url = "https://pypi.example.com/"\n', "index-url", "index-url"),
    _toml("FAC205", UV, f"{UV}sources = {{}}\n", "sources", "sources"),
    _toml("FAC205", UV, f'[tool.uv.pip]\nextra-index-url = ["https://x.example.com"]\n{UV}', "extra-index"),
    _toml("FAC206", UV, f'{UV}index-strategy = "unsafe-best-match"\n', "index-strategy"),
    _toml("FAC206", UV, f'[tool.uv.pip]\nindex-strategy = "unsafe-first-match"\n{UV}', "index-strategy"),
    _toml("FAC207", UV, f'{UV}exclude-newer = "2026-01-01"\n', "exclude-newer"),
    _toml("FAC210", 'name = "th09-cuda130', 'name = "th09-cuda128', 'name = "th09-cuda128', "cuda128"),
    _toml("FAC211", '"numpy>=2.0,<3"', '"numpy>=2.0,<3", "Flash_Attn"', 'requirement = "flash', "Flash_Attn"),
    _toml("FAC209", "flash-attn>=2.8", "urllib3>=1", 'requirement = "urllib3>=1"', "urllib3==2.6.2"),
    _waiver("FAC212", "FAC102", "2026-11-21", "FAC102 expired on 2026-11-21: known"),
    _waiver("FAC212", "drift", "2026-01-01", "drift expired"),
    _waiver("FAC212", "CVE-2026-54058", "2026-01-01", "CVE-2026-54058 expired"),
    _waiver("FAC213", "FAC999", "2030-01-01", "not a finding that can be waived"),
    _waiver("FAC213", "changed-file", "2030-01-01", "not a finding that can be waived"),
    _waiver("FAC213", "FAC-206", "2030-01-01", "not a finding that can be waived"),
    _waiver("FAC213", "FAC201", "2030-01-01", "FAC201 unreadable-spec cannot be waived"),
    _waiver("FAC213", "fac212", "2030-01-01", "fac212 expired-waiver cannot be waived"),
    _waiver("FAC214", "FAC407", "2030-01-01", "FAC407 waives nothing"),
    _toml("FAC215", INDEX, INDEX.replace("cuda13.0", "cuda12.8"), "index-url", "is called cuda12.8"),
    _toml("FAC215", INDEX, INDEX.replace("cuda13.0", "cpu-ubi9"), "index-url", "is called cpu"),
    _toml("FAC215", INDEX, INDEX.replace("cuda13.0", "whl/cu126"), "index-url", "is called cu126"),
    _toml("FAC215", INDEX, INDEX.replace("cuda13.0", "ROCm7.14-ubi9"), "index-url", "is called rocm7.14"),
    _toml("FAC217", "numpy>=2.0,<3", "numpy>=2.0", "numpy>=2.0", "no upper bound"),
    _toml("FAC217", '"numpy>=2.0,<3"', '"numpy"', '"numpy"', "no upper bound"),
    _toml("FAC217", "numpy>=2.0,<3", "numpy>2.0,!=2.3", "numpy>2.0", "no upper bound"),
    _toml("FAC218", "numpy>=2.0,<3", "numpy==2.4.1", "numpy==2.4.1", "dependencies pins"),
    _toml("FAC218", '"urllib3>=2.6"', '"urllib3===2.6.2"', "urllib3", "constraint-dependencies pins"),
    _toml(
        "FAC219",
        UV,
        f'[tool.factory.layers]\nbig = ["numpi", "torch"]\n{UV}',
        "numpi",
        "layer big names numpi",
    ),
    _toml(
        "FAC219", UV, f'[tool.factory.layers]\nbig = ["numpi-*"]\n{UV}', "numpi-*", "layer big names numpi-*"
    ),
    _lock("FAC302", OPTION, f"{OPTION}trl @@ here\n", "trl @@ here"),
    _lock("FAC303", "numpy==2.4.1", "numpy>=2.4.1", "numpy>=2.4.1"),
    _lock("FAC303", "numpy==2.4.1", "numpy==2.4.*", "numpy==2.4.*"),
    _lock("FAC303", OPTION, f"{OPTION}trl @ git+https://git.example.com/trl\n", "trl @ git"),
    _lock("FAC304", OPTION, f"{OPTION}trl==0.24.0\n", "trl==0.24.0"),
    _lock("FAC305", "urllib3==2.6.2", "urllib3==2.6.2 ; sys_platform == 'linux'", "urllib3"),
    _lock("FAC306", OPTION, f"{OPTION}NumPy==2.4.1 --hash=sha256:{HEX}\n", "numpy==2.4.1", "second time"),
    *(
        _lock("FAC307", OPTION, f"{OPTION}{line}\n", line)
        for line in (
            "--extra-index-url https://pypi.example.com/simple",
            "--find-links wheels",
            "-f wheels",
            "--no-index",
            "--only-binary=:all:",
            "--pre",
        )
    ),
    _lock("FAC307", OPTION, "--index-url file:///srv/simple\n", "file:///"),
    _lock("FAC308", OPTION, f"{OPTION}-r more.txt\n", "-r more.txt"),
    _lock("FAC308", OPTION, f"{OPTION}--constraint more.txt\n", "--constraint more.txt"),
    _lock("FAC309", FIRST_DIGEST, OTHER_DIGEST, None, "`factory lock` wrote"),
    _lock("FAC309", OPTION, f"{OPTION}evil-pkg==1.0 --hash=sha256:{HEX}\n", None),
    _lock("FAC309", URLLIB3_PIN, "", None),
    _lock("FAC309", "# contents: sha256:", "# contents were sha256:", None),
    _lock("FAC310", FIRST_DIGEST, FIRST_DIGEST[:60], "numpy==2.4.1", "60 digits, not 64"),
    _lock("FAC310", FIRST_DIGEST, f"{FIRST_DIGEST}00", "numpy==2.4.1", "66 digits, not 64"),
    _lock("FAC321", "# inputs: sha256:", "# inputs were sha256:", None, "does not say"),
    _toml("FAC321", "numpy>=2.0,<3", "numpy>=2.1,<3", None, "has changed"),
    _toml("FAC322", '"numpy>=2.0,<3"', '"numpy>=2.0,<3", "trl"', None, "trl"),
    _toml("FAC323", "numpy>=2.0,<3", "numpy>=2.0,<2.4", "numpy==2.4.1", "dependencies"),
    _toml("FAC323", "urllib3>=2.6", "urllib3>=2.7", "urllib3==2.6.2", "constraint-dependencies"),
    _toml("FAC323", '"urllib3>=2.6"', '"protobuf<6"', "protobuf==6.33.0", "constraint-dependencies"),
    _toml("FAC323", "protobuf>=6", "protobuf<6", "protobuf==6.33.0", "override-dependencies"),
    _lock("FAC324", "torch==2.11.0+cu130", "torch==2.10.0+cu130", "torch==2.10.0", "torch 2.11.0"),
    _lock("FAC324", "training-hub==0.9.2", "training-hub==0.8.0", "training-hub==0.8.0"),
    _lock("FAC325", OPTION, "", None, INDEX),
    _lock("FAC326", "cuda13.0/simple", "cpu/simple", "--index-url", "cpu/simple"),
    _toml("FAC326", f'index-url = "{INDEX}"\n', "", "--index-url", "the spec none"),
    _lock("FAC327", OPTION, f"{OPTION}{OPTION}", "--index-url", "a second index"),
    _lock("FAC328", "https://packages", "https://me:secret@packages", "--index-url", "credentials"),
    _lock("FAC329", "# urllib3-2.6.2", "# urllib3-2.6.1", "urllib3==2.6.2", "urllib3-2.6.1"),
    _lock("FAC329", "# protobuf-6.33.0-py3-none-any.whl", "# protobuf-6.33.0.tar.gz", "protobuf", ".tar.gz"),
    _lock("FAC329", "numpy-2.4.1-cp312-cp312", "numpy-2.4.1-cp311-cp311", "numpy==2.4.1", "cp311"),
    _lock("FAC329", "manylinux_2_28_x86_64", "musllinux_1_2_x86_64", "==2.", "musllinux"),
    _lock("FAC330", "cp312-manylinux_2_28_aarch64", "cp312-manylinux_2_28_x86_64", "==2.", "linux/arm64"),
    _lock(
        "FAC331", "# contents", "# not from the index: numpy\n# contents", "numpy==2.4.1", "folder of wheels"
    ),
    _toml(
        "FAC334",
        "[[tool.factory.missing]]",
        f'[[tool.factory.indexes]]\nname = "nums"\nurl = "{EXTRA}"\npackages = ["numpy"]\n\n'
        "[[tool.factory.missing]]",
        "numpy==2.4.1",
        "the spec has 'nums' for it",
    ),
    Breach("FAC401", "Dockerfile", "# END MIDSTREAM ONLY", "# The end", "########", "never closed"),
    _docker("FAC402", "RUN pip install git+https://git.example.com/trl.git@main", "RUN pip", "git+https"),
    _docker("FAC402", "RUN uv pip install https://example.com/a-1-py3-none-any.whl", "RUN uv", "https://"),
    _docker("FAC402", 'RUN python3 -m pip install "trl @ git+ssh://git@example.com/trl"', "RUN python3"),
    _docker("FAC402", "RUN pip install -r https://example.com/requirements.txt", "RUN pip"),
    _docker("FAC402", "RUN pip install --editable=git+https://git.example.com/trl", "RUN pip", "git+https"),
    _docker("FAC402", "RUN pip install -egit+https://git.example.com/trl", "RUN pip", "git+https"),
    _docker("FAC403", "RUN python -I -m pip install trl", "RUN python", "pip install trl"),
    _docker("FAC403", "RUN python3 -X utf8 -mpip install trl", "RUN python3", "pip install trl"),
    _docker("FAC403", "RUN python -Im pip install trl", "RUN python", "pip install trl"),
    _docker("FAC403", "RUN eval pip install trl", "RUN eval", "pip install trl"),
    _docker("FAC403", "RUN eval 'pip install trl && true'", "RUN eval", "pip install trl"),
    _docker("FAC403", "RUN find . -name '*.txt' | xargs pip install", "xargs", "pip install"),
    _docker("FAC403", "RUN xargs -n1 pip install -r < list.txt", "xargs", "pip install"),
    _docker("FAC403", "RUN python -m easy_install trl", "easy_install"),
    _docker("FAC403", "RUN cd /x && python setup.py install", "setup.py"),
    _docker("FAC403", "RUN pip install -rextra.txt", "extra.txt"),
    _docker("FAC403", "RUN true && \\\n    pip3 install \\\n    # why\n    flash-attn", "    flash-attn"),
    _docker("FAC403", "RUN if true; then uv pip install trl; fi", "uv pip install trl"),
    _docker("FAC403", "RUN sh -c 'cd / && pip install trl'", "pip install trl"),
    _docker("FAC403", 'RUN echo "$(pip install trl)"', "pip install trl"),
    _docker("FAC403", "RUN sudo -u root /opt/app-root/bin/pip install trl", "pip install trl"),
    _docker("FAC403", "RUN pip install -r extra.txt", "extra.txt"),
    _docker("FAC403", "RUN uv tool install ruff", "uv tool"),
    _docker("FAC403", "RUN uv pip install --offline 'trl[peft]>=1' numpy", "RUN uv", "the lock has no such"),
    _docker(
        "FAC403", 'RUN pip install --no-index --find-links "$PIP_FIND_LINKS" vllm==1.0', "RUN pip", "vllm"
    ),
    _docker("FAC403", "RUN\tpip install\tfoo", "RUN\tpip", "pip install foo"),
    _docker("FAC403", "RUN uvx ruff check", "uvx"),
    _docker("FAC403", "RUN uv tool run --from ruff ruff", "uv tool run"),
    _docker("FAC404", "RUN curl -LO https://example.com/model.bin", "curl"),
    _docker("FAC404", "RUN umask 002; wget -q $URL", "wget"),
    _docker("FAC404", "RUN git clone --depth=1 https://git.example.com/x", "git clone"),
    _docker("FAC404", "ADD https://example.com/x.tar.gz /x", "ADD"),
    _docker("FAC404", "ADD git@git.example.com:x/y.git /x", "ADD git@"),
    _docker("FAC404", "RUN uv python install 3.12", "RUN uv", "uv python install"),
    _docker("FAC404", "COPY --from=quay.io/example/uv:1 /uv /uv", "COPY --from=quay", "quay.io/example/uv:1"),
    _docker("FAC404", f"COPY --chown=1 --from=quay.io/a/uv@sha256:{HEX} /uv /uv", "COPY --chown", HEX),
    _docker(
        "FAC404", "RUN --mount=type=bind,from=quay.io/a/uv:1,target=/x true", "RUN --mount", "quay.io/a/uv:1"
    ),
    _docker("FAC404", "COPY --from=7 /uv /uv", "COPY --from=7"),
    _docker("FAC405", "RUN dnf install -y gcc", "dnf install"),
    _docker("FAC405", "RUN --mount=type=cache,target=/var/cache apt-get -y install gcc", "apt-get"),
    _docker("FAC405", "RUN npm ci", "npm ci"),
    _docker("FAC405", "RUN conda install -y faiss", "conda"),
    _docker("FAC406", 'RUN ["touch", "/x"]', "RUN ["),
    _docker("FAC406", "RUN <<EOF\ntouch /x\nEOF", "RUN <<EOF"),
    _docker("FAC406", "RUN cat > /x <<'EOF'\nFROM scratch\nEOF", "RUN cat"),
    _docker("FAC402", 'RUN ["pip", "install", "git+https://git.example.com/x"]', "git+https"),
    _docker("FAC405", "RUN bash -e <<EOF\ndnf -y install gcc\nEOF", "RUN bash"),
    _docker("FAC407", "RUN echo gpgcheck=0 > /etc/yum.repos.d/x.repo", "gpgcheck=0"),
    Breach("FAC407", "Dockerfile", "dnf install -y", "dnf install -y --nogpgcheck", "--nogpgcheck"),
    Breach("FAC407", "cuda.repo", "gpgcheck=1", "gpgcheck = 0", "gpgcheck = 0"),
    Breach("FAC407", "cuda.repo", "gpgcheck=1", "localpkg_gpgcheck=0", "localpkg_gpgcheck=0"),
    _docker("FAC407", "RUN rpm -q --nosignature x", "RUN rpm", "--nosignature"),
    _docker(
        "FAC407", "RUN echo 'deb [arch=amd64 trusted=yes] file:/x /' > /x.list", "RUN echo", "trusted=yes"
    ),
    _docker("FAC407", "RUN echo 'APT::Get::AllowUnauthenticated \"true\";' > /x", "RUN echo", "Unauth"),
    _docker("FAC408", "ENV UV_INDEX_STRATEGY=unsafe-best-match", "ENV UV_INDEX"),
    _docker(
        "FAC409", f"RUN pip install --extra-index-url {EXTRA} --require-hashes -r requirements.txt", "RUN"
    ),
    _docker("FAC409", f"RUN uv pip install --offline --index={EXTRA} trl", "RUN uv", "--index"),
    _docker("FAC409", f"RUN pip config set global.extra-index-url {EXTRA}", "RUN pip", "extra-index-url"),
    _docker(
        "FAC409", f"RUN true && \\\n    export PIP_EXTRA_INDEX_URL='{EXTRA}' && true", "    export", "PIP_"
    ),
    _docker("FAC409", f"ENV A=1 \\\n    UV_EXTRA_INDEX_URL={EXTRA}", "    UV_EXTRA", "UV_EXTRA_INDEX_URL"),
    _docker("FAC409", f"ENV UV_INDEX {EXTRA}", "ENV UV_INDEX", "UV_INDEX"),
    _docker("FAC409", "ARG PIP_EXTRA_INDEX_URL", "ARG PIP"),
    Breach("FAC409", "Dockerfile", "dnf install -y", f"UV_INDEX={EXTRA} dnf install -y", "UV_INDEX="),
    _docker(
        "FAC410", "ENV PIP_INDEX_URL=https://me:s3@cret@x.example.com/", "ENV", "https://***@x.example.com"
    ),
    _docker("FAC410", "ARG UV_DEFAULT_INDEX=me:s3@cret@x.example.com/", "ARG", "***@x.example.com"),
    _docker("FAC410", "RUN pip install -i me:s3@cret@x.example.com -r requirements.txt", "RUN", "***@x"),
    _docker(
        "FAC410", "RUN pip download --index-url https://token@x.example.com/ --no-index .", "RUN", "***@x"
    ),
    _docker("FAC410", "ADD https://token@x.example.com/y /y", "ADD", "https://***@x.example.com"),
    Breach(
        "FAC410", "Dockerfile", "dnf install -y", "A=http://me:pw@h/ dnf install -y", "A=http", "http://***@h"
    ),
    _docker(
        "FAC411",
        "RUN uv pip install --no-deps -r /usr/share/factory/requirements.txt",
        "RUN",
        "without --req",
    ),
    _docker("FAC411", "ENV UV_NO_VERIFY_HASHES=1", "ENV UV_NO", "UV_NO_VERIFY_HASHES=1"),
    _docker("FAC411", "RUN export PIP_REQUIRE_HASHES=false && true", "RUN export", "hashes off"),
    _docker("FAC411", "RUN uv pip sync --no-verify-hashes requirements.txt", "RUN uv"),
    _docker("FAC411", "RUN python3 -m pip install --no-deps -r requirements.txt", "RUN python3"),
    _docker("FAC411", "RUN pip install --no-deps -rrequirements.txt", "RUN pip"),
    _docker("FAC403", "RUN uv pip install -r requirements-kernels.txt", "RUN uv", "requirements-kernels.txt"),
    _docker(
        "FAC412", "RUN uv pip install --require-hashes -r /usr/share/requirements.txt", "RUN", "without --no-"
    ),
    _docker("FAC412", "RUN pip install --require-hashes --requirement=/x/requirements.txt", "RUN pip"),
    _docker("FAC412", "RUN pip install --require-hashes -rrequirements.txt", "RUN pip"),
    _docker("FAC413", "COPY --from=builder /opt/venv /opt/venv", "COPY", "copies packages"),
    _docker("FAC413", "COPY --from=builder /app/.venv/ /app/.venv/", "COPY", "copies packages"),
    _docker("FAC413", "RUN tar -C /opt/app-root/lib/python3.12/site-packages -xf /x.tar", "RUN tar", "tar"),
    _docker("FAC413", "RUN tar xzf /x.tar --directory=/x/site-packages/", "RUN tar", "tar xzf"),
    _docker(
        "FAC413",
        "RUN --mount=type=bind,from=builder,source=/opt,target=/b cp -r /b/app-root/lib /opt/app-root/",
        "RUN --mount",
        "cp -r",
    ),
    _docker(
        "FAC413", "COPY --from=builder /x/site-packages /opt/app-root/lib/python3.12/site-packages", "COPY"
    ),
    _docker("FAC413", "COPY --from=builder /opt/app-root /opt/app-root/", "COPY", "copies packages"),
    _docker("FAC413", "COPY --from=builder ${VIRTUAL_ENV}/lib ${VIRTUAL_ENV}/lib", "COPY", "VIRTUAL_ENV"),
    _docker("FAC413", 'COPY --from=builder ["/venv/lib", "/opt/app-root/lib64/python3.12"]', "COPY"),
    _docker("FAC413", "RUN cp -r /tmp/new/. /opt/app-root/lib/python3.12/site-packages/", "RUN cp", "cp -r"),
    _docker("FAC413", "RUN rsync -a /b/dist-packages/ /opt/there", "RUN rsync"),
    _docker(
        "FAC413",
        "RUN pip install --target=/x --no-deps --require-hashes -r requirements.txt",
        "RUN pip",
        "--target=/x",
    ),
    Breach("FAC413", "Dockerfile", "dnf install -y", "cp -r /a /b/site-packages && dnf install -y", "cp -r"),
    Breach("FAC414", "Dockerfile", "com.redhat.component=", "com.example.component=", "LABEL", "com.redhat"),
    Breach("FAC414", "Dockerfile.konflux", "LABEL ", "ENV ", "FROM", "no label name"),
    Breach("FAC415", "Dockerfile", 'version="0.9.2"', 'version="0.9.2 "', 'version="0.9.2 "', "'0.9.2 '"),
    _docker("FAC415", "LABEL vendor ' Example'", "LABEL vendor", "the label vendor"),
    _docker("FAC416", "LABEL org.opencontainers.image.licenses=LicenseRef-AMD-ROCm", "LABEL org", "for cuda"),
    _docker("FAC417", "RUN rm -f /usr/local/bin/uv", "RUN rm", "takes uv out"),
    _docker("FAC417", "RUN true && pip uninstall -y uv", "pip uninstall"),
    _docker("FAC417", "RUN rm -rf ~/.local/bin/uv*", "RUN rm", "takes uv out"),
    Breach(
        "FAC417", "Dockerfile", "dnf install -y", "dnf -y remove uv && dnf install -y", "dnf -y remove uv"
    ),
    _docker("FAC419", "RUN --network=host true", "RUN --network", "--network=host"),
    _docker("FAC419", "RUN --security=insecure true", "RUN --security"),
    _docker("FAC419", "RUN --mount=type=secret,id=x true", "RUN --mount"),
    _docker("FAC419", 'RUN --mount="type=ssh" true', "RUN --mount"),
    _docker("FAC419", "RUN --mount=type=bind,source=a,target=/a,bind-propagation=shared true", "RUN --mount"),
    _docker("FAC420", "RUN true \\\\\nUSER 1001", "RUN true", "at its end"),
    _docker("FAC420", "RUN true\rUSER 1001", "RUN true", "carriage return"),
    Breach("FAC420", "Dockerfile", "", "# syntax=x\n# escape=`\nFROM a\n", "# escape", "escape directive"),
    _docker("FAC418", "ENV LD_PRELOAD=/usr/lib64/libjemalloc.so.2", "ENV LD_PRELOAD", "libjemalloc.so.2"),
    _docker("FAC418", 'ENV A=1 LD_PRELOAD="$LD_PRELOAD:/usr/lib64/libtcmalloc_minimal.so.4"', "ENV A=1"),
    Breach(
        "FAC402", "Dockerfile.konflux", RUN_MARK, f"{RUN_MARK}RUN pip install git+https://x.org/y\n", "git+"
    ),
]
