# shellcheck shell=bash
# To be sourced. Points podman at settings under which it works on a restricted machine, and does
# nothing on an ordinary one or where CONTAINERS_CONF is set already.
#
# podman raises limits by default, which root without CAP_SYS_RESOURCE may not; crun refuses cgroup v1
# and hybrid hierarchies; without systemd there is neither its cgroup manager nor its journal.

_settings_needed() {
    [ "$(id -u)" = 0 ] || return 1
    local capabilities
    capabilities=$(awk '/^CapEff:/ {print $2}' /proc/self/status)
    # CAP_SYS_RESOURCE is bit 24.
    (((16#$capabilities >> 24 & 1) == 0)) || [ ! -e /sys/fs/cgroup/cgroup.controllers ]
}

if [ -z "${CONTAINERS_CONF:-}" ] && _settings_needed; then
    CONTAINERS_CONF=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/containers.conf
    export CONTAINERS_CONF
fi
unset -f _settings_needed
