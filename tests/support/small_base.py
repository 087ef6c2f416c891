"""A base image for tests of what is around a build: the stand-in's contract at less than a third of its size.

Each build in a pod pulls its base image into a storage of its own, and pushes what it made: of the stand-in
that takes most of a test's time. This one has no JupyterLab, and no program that only Debian needs.
"""

import fcntl
import hashlib
import tempfile
from pathlib import Path

from support.podman import podman, run_podman

_JUPYTER = '''\
#!/opt/app-root/bin/python
"""Not JupyterLab: what answers as it does on its port, to who has the token."""

import http.server
import sys

options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[2:])


class Lab(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == "token " + options["ServerApp.token"]
        self.send_response(200 if known else 403)
        self.end_headers()
        self.wfile.write(b"JupyterLab" if known else b"")


assert sys.argv[1] == "lab", sys.argv
http.server.HTTPServer(("", int(options.get("ServerApp.port", 8888))), Lab).serve_forever()
'''
_CONTAINERFILE = """\
FROM {base}
USER 0
RUN set -e; cd /usr/lib/python3.11; rm -rf ensurepip idlelib lib2to3 pydoc_data test unittest/__pycache__; \\
    cd /usr/lib/*-linux-gnu; rm -rf gconv libperl* perl perl-base; rm -f libdb-* libsqlite3*; \\
    cd /usr/share; rm -rf i18n info locale perl python-wheels zoneinfo; \\
    rm -rf /usr/bin/perl* /usr/lib/apt /var/cache /var/lib/apt /var/lib/dpkg /var/log; \\
    cd /opt/app-root; rm -rf etc share; \\
    cd lib/python3.11/site-packages; \\
    find . -mindepth 1 -maxdepth 1 ! -name 'packaging*' ! -name 'fqdn*' -exec rm -rf {{}} +
COPY --chown=1001:0 jupyter /opt/app-root/bin/jupyter
USER 1001
"""


def small_base(base: str) -> str:
    """Make it of the stand-in, unless it is here; return its tag, which has a digest of what goes in."""
    text = _CONTAINERFILE.format(base=base)
    digest = hashlib.sha256(f"{text}{_JUPYTER}".encode()).hexdigest()[:12]
    tag = f"localhost/universal-image-standin-small:py311-{digest}"
    # Of two runs at once, one makes it and the other finds it.
    with (Path(tempfile.gettempdir()) / f"universal-image-standin-small-{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if run_podman("image", "exists", tag).returncode != 0:
            with tempfile.TemporaryDirectory() as context:
                (Path(context) / "Containerfile").write_text(text)
                (Path(context) / "jupyter").write_text(_JUPYTER)
                (Path(context) / "jupyter").chmod(0o755)
                words = ("--quiet", "--network=none", "--pull=never", "--squash-all", "--timestamp=0")
                podman("build", *words, "--tag", tag, context)
    return tag
