#!/usr/bin/env bash
# Make the stand-in for the vendor's workbench base image, and print its tag.
#
# The tag holds a digest of what goes into the image, so a second run finds it and does nothing. Debian's
# packages come through mmdebstrap, and PyPI's through uv on this machine, each as it is configured here;
# the build itself has no network, and no setting or certificate of this machine ends up in the image.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/engine-settings.sh
source "$here/engine-settings.sh"

inputs() {
    (cd "$here" && sha256sum standin-base.sh standin/*)
    uname -m
}

find_uv() {
    local candidate
    for candidate in "${UV:-}" "$here/../.venv/bin/uv" "$(command -v uv || true)"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            realpath "$candidate"
            return
        fi
    done
    echo "error: uv is missing; run scripts/venv.sh .venv first" >&2
    return 1
}

digest=$(inputs | sha256sum | cut -c 1-12)
tag="localhost/universal-image-standin:py311-$digest"
# Of two runs at once, one makes the image and the other finds it.
exec 9>"${TMPDIR:-/tmp}/${tag//[\/:]/-}.lock"
flock 9
if podman image exists "$tag"; then
    echo "$tag"
    exit 0
fi
if ! command -v mmdebstrap >/dev/null; then
    echo "error: mmdebstrap is missing, which the stand-in base image is made with" >&2
    echo "  what to do: install the package mmdebstrap, or run scripts/engine.sh" >&2
    exit 1
fi
uv=$(find_uv)

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$here"/standin/* "$context/"
chmod 0755 "$context"/{dnf,fix-permissions,start-notebook.sh}

echo "stand-in base: Debian's packages (mmdebstrap)" >&2
mmdebstrap --quiet --variant=minbase \
    --include=python3,python3-venv,bash,ca-certificates,procps \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt=force-unsafe-io \
    bookworm "$context/rootfs.tar" >&2

# Bookworm has glibc 2.36: the same wheels are chosen here and in the image.
echo "stand-in base: PyPI's packages (uv)" >&2
"$uv" pip install --quiet --cache-dir "$context/cache" --target "$context/unused" \
    --python-version 3.11 --python-platform "$(uname -m)-manylinux_2_36" \
    --no-deps --require-hashes --only-binary :all: -r "$here/standin/requirements.txt" >&2
rm -rf "$context/unused"
printf 'cache\n' >"$context/.containerignore"

echo "stand-in base: the image (podman)" >&2
podman build --quiet --network none --tag "$tag" \
    --volume "$uv:/host/uv:ro" --volume "$context/cache:/host/cache" \
    --file "$context/Containerfile" "$context" >&2
echo "$tag"
