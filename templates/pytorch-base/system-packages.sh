#!/usr/bin/env bash
# Install what compiling PyTorch needs of the distribution, if it is missing: system-packages.sh PYTHON_VERSION
# An image that has all of it needs no network here.
set -euo pipefail

python=python$1
# Enterprise Linux 8 has one that is too old, and newer ones beside it, which build.sh enables.
oldest_compiler=11
toolset=gcc-toolset-13

has_compiler() {
    compgen -G "/opt/rh/gcc-toolset-*/enable" >/dev/null ||
        { command -v g++ >/dev/null && [ "$(g++ -dumpversion | cut -d . -f 1)" -ge "$oldest_compiler" ]; }
}

has_python() {
    "$python" -c 'import ensurepip, os, sysconfig, venv
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    raise SystemExit(1)' 2>/dev/null
}

complete() {
    command -v git >/dev/null && has_compiler && has_python
}

if complete; then
    exit 0
fi
if command -v dnf >/dev/null; then
    dnf install -y --nodocs --setopt=install_weak_deps=False \
        git gcc-c++ make "$python" "$python-devel" "$python-pip"
    has_compiler || dnf install -y --nodocs --setopt=install_weak_deps=False "$toolset-gcc-c++"
    dnf clean all
elif command -v apt-get >/dev/null; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        git g++ make ca-certificates "$python" "$python-dev" "$python-venv"
    rm -rf /var/lib/apt/lists/*
fi
if ! complete; then
    echo "error: DEVEL_IMAGE lacks git, g++ $oldest_compiler or $python with headers and venv, also in its repositories" >&2
    echo "  what to do: take another DEVEL_IMAGE, or a Python that its distribution has" >&2
    exit 1
fi
