#!/usr/bin/env bash
# See to it that podman is here, with what the stand-in base image is made of. Installs as root with the
# distribution's package manager; otherwise says what to install.
set -euo pipefail

# iptables and netavark: without them `podman run` fails on its bridge network (Debian 12, podman 4.3).
engine_packages=(podman buildah skopeo runc netavark aardvark-dns iptables)
rootfs_packages=(mmdebstrap)
# The registry that the tests push to on loopback; Debian's name for it, and Fedora's.
registry_package_apt=docker-registry
registry_package_dnf=docker-distribution

missing_programs() {
    command -v podman >/dev/null || printf 'podman '
    command -v runc >/dev/null || command -v crun >/dev/null || printf 'runc '
    [ -x /usr/lib/podman/netavark ] || [ -x /usr/libexec/podman/netavark ] || printf 'netavark '
    command -v iptables >/dev/null || [ -x /usr/sbin/iptables ] || printf 'iptables '
}

has_registry() {
    command -v docker-registry >/dev/null || command -v registry >/dev/null
}

missing=$(missing_programs)
if [ -z "$missing" ] && command -v mmdebstrap >/dev/null && has_registry; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing: ${missing:-mmdebstrap and a registry}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${engine_packages[@]}" "${rootfs_packages[@]}" "$registry_package_apt" debian-archive-keyring \
        ca-certificates >&2
elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
    echo "installing: ${missing:-mmdebstrap and a registry}" >&2
    dnf install -y -q --setopt=install_weak_deps=False "${engine_packages[@]}" ca-certificates >&2
    # Needed only where the vendor's base image cannot be pulled.
    dnf install -y -q --setopt=install_weak_deps=False "${rootfs_packages[@]}" debian-keyring >&2 ||
        echo "warning: no ${rootfs_packages[*]} here: without it the vendor's base image has to be pulled" >&2
    dnf install -y -q --setopt=install_weak_deps=False "$registry_package_dnf" >&2 ||
        echo "warning: no $registry_package_dnf here: tests that push to a registry are skipped" >&2
elif [ -z "$missing" ]; then
    command -v mmdebstrap >/dev/null ||
        echo "warning: no mmdebstrap here: without it the vendor's base image has to be pulled" >&2
    has_registry || echo "warning: no docker-registry here: tests that push to a registry are skipped" >&2
else
    echo "error: these programs are missing: $missing" >&2
    echo "  what to do: install the packages ${engine_packages[*]} ${rootfs_packages[*]}" >&2
    echo "  (Debian, Ubuntu: sudo apt-get install …; Fedora: sudo dnf install …), or run this as root" >&2
    exit 1
fi
