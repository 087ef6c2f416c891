#!/usr/bin/env bash
# Start JupyterLab as the vendor's script of this name does: it takes no arguments, and reads
# NOTEBOOK_PORT, NOTEBOOK_BASE_URL, NOTEBOOK_ROOT_DIR and NOTEBOOK_ARGS.
set -euo pipefail

arguments=("--ServerApp.root_dir=${NOTEBOOK_ROOT_DIR:-$HOME}")
if [[ -n "${NOTEBOOK_PORT:-}" ]]; then
    arguments+=("--ServerApp.port=$NOTEBOOK_PORT")
fi
if [[ -n "${NOTEBOOK_BASE_URL:-}" ]]; then
    arguments+=("--ServerApp.base_url=$NOTEBOOK_BASE_URL")
fi
# shellcheck disable=SC2206  # split into words, as the vendor's script does
arguments+=(${NOTEBOOK_ARGS:-})

exec jupyter lab "${arguments[@]}" \
    --ServerApp.ip= \
    --ServerApp.allow_origin='*' \
    --ServerApp.open_browser=False
