#!/usr/bin/env bash
# Starts the image of a layout in namespaces of its own, as its configuration says, and asks it how it is. As root.
#
#   packaging/oci/try.sh LAYOUT TAG
set -euo pipefail
if [ -z "${is_inside:-}" ]; then
    exec env is_inside=yes unshare --mount --pid --fork --net --kill-child "$0" "$@"
fi
work=$(mktemp --directory)
mount -t tmpfs tmpfs "$work"
ip link set lo up
fail() { printf '%s\n' "$*" >&2; exit 1; }

# A bundle: the files, and a configuration for runtimes, made from that of the image.
umoci unpack --image "$1:$2" "$work/bundle" >/dev/null
bundle=$work/bundle
user=$(jq --raw-output '.process.user | "\(.uid) \(.gid)"' "$bundle/config.json")
[ "$user" = '65534 65534' ] || fail "it runs as $user"
mapfile -t words < <(jq --raw-output '.process.args[]' "$bundle/config.json")
mapfile -t environment < <(jq --raw-output '.process.env[]' "$bundle/config.json")
# The shell becomes what it starts, so that signals reach it.
become() { exec env --ignore-environment "${environment[@]}" chroot --userspec=65534:65534 "$bundle/rootfs" "$@"; }

# As a runtime does: the files read-only, and what the kernel tells of processes.
mkdir "$bundle/rootfs/proc"
mount --bind "$bundle/rootfs" "$bundle/rootfs"
mount -o remount,bind,ro "$bundle/rootfs"
mount -t proc proc "$bundle/rootfs/proc"
become "${words[@]}" 2>"$work/log" &
server=$!
for _ in $(seq 100); do
    ! grep --quiet '^Server started' "$work/log" || break
    sleep 0.1
done
(become "${words[0]}" check http://127.0.0.1:9090/live) || fail "it does not live: $(cat "$work/log")"
(become "${words[0]}" check http://127.0.0.1:8080/World) || fail 'no greeting'
kill -TERM "$server"
wait "$server" || fail "the server ended with $?"
printf '%s: started as %s, asked, drained\n' "$1" "${words[*]}"
