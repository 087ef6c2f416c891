#!/usr/bin/env bash
# Make the stand-in for the base image of tekton/image/Containerfile, and print its tag: Debian with Python
# and the programs that the steps of the tasks use.
#
# The tag holds a digest of what goes into the image, so a second run finds it and does nothing. The packages
# come through mmdebstrap, as it is configured here; no setting of this machine ends up in the image.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/engine-settings.sh
source "$here/engine-settings.sh"

packages=(
    bash buildah ca-certificates git iproute2 python3 python3-venv skopeo tar uidmap util-linux
)

digest=$({ sha256sum <"${BASH_SOURCE[0]}" && uname -m; } | sha256sum | cut -c 1-12)
tag="localhost/universal-image-steps-base:py311-$digest"
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

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

echo "stand-in base of the steps: Debian's packages (mmdebstrap)" >&2
# mmdebstrap takes over from this machine what names its network: the sources, the name server, its name.
# shellcheck disable=SC2016 # mmdebstrap's own $1
mmdebstrap --quiet --variant=minbase --include="$(IFS=, && echo "${packages[*]}")" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt=force-unsafe-io \
    --customize-hook='rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/var/log/* "$1"/etc/resolv.conf "$1"/etc/hostname' \
    bookworm "$context/rootfs.tar" >&2
printf 'FROM scratch\nADD rootfs.tar /\nCMD ["bash"]\n' >"$context/Containerfile"

echo "stand-in base of the steps: the image (podman)" >&2
podman build --quiet --network none --timestamp 0 --tag "$tag" --file "$context/Containerfile" "$context" >&2
echo "$tag"
