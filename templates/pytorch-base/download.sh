#!/usr/bin/env bash
# Put the locked wheels of requirements files into a folder: download.sh PYTHON FOLDER REQUIREMENTS...
# A prefetched folder (Hermeto's layout, mounted at /cachi2) is used if there is one, else the package index.
set -euo pipefail

python=$1 folder=$2
shift 2
options=()
for file in /cachi2/cachi2.env /cachi2/prefetch.env; do
    if [ -f "$file" ]; then
        # shellcheck source=/dev/null
        . "$file"
        options=(--no-index --find-links "$PIP_FIND_LINKS")
    fi
done
mkdir -p "$folder"
"$python" -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
    --only-binary :all: "${options[@]}" --dest "$folder" "${@/#/--requirement=}"
