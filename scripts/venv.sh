#!/usr/bin/env bash
# Make the virtual environment: `scripts/venv.sh DIR`. Every package is pinned with hashes.
set -euo pipefail

folder=${1:?usage: scripts/venv.sh DIR}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    echo "error: no Python 3.11 or newer was found" >&2
    echo "  what to do: install one and run again, or name it: make PYTHON=/path/to/python" >&2
    exit 1
}

make_environment() {
    if [ -e "$folder" ] && [ ! -e "$folder/pyvenv.cfg" ] && [ -n "$(ls -A "$folder")" ]; then
        echo "error: $folder is there and is no virtual environment" >&2
        echo "  what to do: give another folder, or remove it" >&2
        exit 1
    fi
    rm -rf "$folder"
    "$python" -m venv "$folder" && "$folder/bin/python" -m pip --version >/dev/null
}

install_venv_module() {
    # Debian and Ubuntu ship Python's venv module as a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
    else
        echo "error: $python cannot make a virtual environment" >&2
        echo "  what to do: install Python's venv module (Debian, Ubuntu: apt-get install python3-venv)" >&2
        exit 1
    fi
}

python=$(find_python)
if ! make_environment; then
    install_venv_module
    make_environment
fi
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --requirement "$here/requirements-dev.txt"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --editable "$here"
