#!/usr/bin/env bash
# Install the wheel and what it needs under a folder of their own: install.sh MADE WHEELS REQUIREMENTS FOLDER
# Nothing is byte-compiled, so that the same wheels give the same layer; group 0 may write, as any UID of OpenShift is in it.
set -euo pipefail
umask 002

made=$1 wheels=$2 requirements=$3 folder=$4
(cd "$made" && sha256sum --check --quiet SHA256SUMS)
# Some distributions put compiled packages into lib64, which is a link to lib in an environment.
mkdir -p "$folder/lib"
ln -s lib "$folder/lib64"
install=(
    /opt/app-root/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-index --no-deps
    --no-compile --ignore-installed --no-warn-script-location --prefix "$folder"
)
"${install[@]}" --find-links "$wheels" --require-hashes --requirement "$requirements"
"${install[@]}" "$made"/torch-*.whl
rm "$folder/lib64"
