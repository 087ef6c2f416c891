#!/usr/bin/env bash
# See to it that podman is here, with what the stand-in base image is made of. Installs as root with the
# distribution's package manager; otherwise says what to install.
set -euo pipefail

# iptables and netavark: without them `podman run` fails on its bridge network (Debian 12, podman 4.3).
engine_packages=(podman buildah skopeo runc netavark aardvark-dns iptables)
rootfs_packages=(mmdebstrap)

missing_programs() {
    command -v podman >/dev/null || printf 'podman '
    command -v runc >/dev/null || command -v crun >/dev/null || printf 'runc '
    [ -x /usr/lib/podman/netavark ] || [ -x /usr/libexec/podman/netavark ] || printf 'netavark '
    command -v iptables >/dev/null || [ -x /usr/sbin/iptables ] || printf 'iptables '
}

missing=$(missing_programs)
if [ -z "$missing" ] && command -v mmdebstrap >/dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing: ${missing:-mmdebstrap}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${engine_packages[@]}" "${rootfs_packages[@]}" debian-archive-keyring ca-certificates >&2
elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
    echo "installing: ${missing:-mmdebstrap}" >&2
    dnf install -y -q --setopt=install_weak_deps=False "${engine_packages[@]}" ca-certificates >&2
    # Needed only where the vendor's base image cannot be pulled.
    dnf install -y -q --setopt=install_weak_deps=False "${rootfs_packages[@]}" debian-keyring >&2 ||
        echo "warning: no ${rootfs_packages[*]} here: without it the vendor's base image has to be pulled" >&2
elif [ -z "$missing" ]; then
    echo "warning: no mmdebstrap here: without it the vendor's base image has to be pulled" >&2
else
    echo "error: these programs are missing: $missing" >&2
    echo "  what to do: install the packages ${engine_packages[*]} ${rootfs_packages[*]}" >&2
    echo "  (Debian, Ubuntu: sudo apt-get install …; Fedora: sudo dnf install …), or run this as root" >&2
    exit 1
fi
