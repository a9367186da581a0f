#!/bin/sh
# The preStop of Redis where it is no native sidecar: returns when the hive of this pod has gone. Both
# are told to stop at the same moment, and the hive needs its Redis to hand over.
#
# WATCHED_PORTS  the ports that a living hive listens on: its peer protocol and HTTP
set -eu

ports=${WATCHED_PORTS-6390 6391}
# As the kernel prints the state of a socket that listens.
listen=0A

# A pod's containers share a network, and this needs no program but the shell. Listeners come first in
# these tables.
listens() { # PORT
    hex=$(printf '%04X' "$1")
    for table in /proc/net/tcp /proc/net/tcp6; do
        [ -r "$table" ] || continue
        while read -r _ address _ state _; do
            case "$address $state" in
            *":$hex $listen") return 0 ;;
            esac
        done <"$table"
    done
    return 1
}

hive_lives() {
    for port in $ports; do
        ! listens "$port" || return 0
    done
    return 1
}

while hive_lives; do
    sleep 0.2 2>/dev/null || sleep 1
done
