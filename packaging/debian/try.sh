#!/usr/bin/env bash
# Installs the package in a Debian, starts what it installed, asks it, and removes it. Nothing may stay. As root.
#
#   packaging/debian/try.sh PACKAGE [ROOT]
#
# ROOT is the folder of a Debian (debootstrap); without it, this machine's own. Either is seen through an overlay, in
# namespaces of its own: nothing of it is changed.
set -euo pipefail
if [ -z "${is_inside:-}" ]; then
    exec env is_inside=yes unshare --mount --pid --fork --net --kill-child "$0" "$@"
fi
package=$(realpath "$1")
lower=$(realpath "${2:-/}")

work=$(mktemp --directory)
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
mount -t proc proc "$work/root/proc"
mount --bind /dev "$work/root/dev"
ip link set lo up
inside() { chroot "$work/root" "$@"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

cp "$package" "$work/root/tmp/package.deb"
inside dpkg --install /tmp/package.deb
[ "$(inside dpkg-query --show --showformat '${db:Status-Status}' helloop)" = installed ] || fail 'not installed'
for file in usr/bin/helloop etc/default/helloop lib/systemd/system/helloop.service lib/systemd/system/helloop.socket \
    usr/share/man/man1/helloop-serve.1.gz usr/share/bash-completion/completions/helloop \
    usr/share/zsh/vendor-completions/_helloop usr/share/fish/vendor_completions.d/helloop.fish \
    usr/share/doc/helloop/copyright; do
    [ -e "$work/root/$file" ] || fail "there is no /$file"
done
inside dpkg --verify helloop

# As the unit starts it, but for systemd. The shell becomes the server, so that signals reach it.
start=$(sed -n 's/^ExecStart=//p' "$work/root/lib/systemd/system/helloop.service")
exec_inside() { exec chroot --userspec=65534:65534 "$work/root" "$@"; }
HELLOOP_LISTEN=127.0.0.1:8080 exec_inside $start 2>"$work/log" &
server=$!
for _ in $(seq 100); do
    ! grep --quiet '^Server started' "$work/log" || break
    sleep 0.1
done
[ "$(curl --silent --show-error --max-time 10 http://127.0.0.1:8080/World)" = 'Hello, World!' ] || fail 'no greeting'
inside helloop check http://127.0.0.1:8080/ || fail 'helloop check found nobody'
kill -TERM "$server"
wait "$server" || fail "the server ended with $?"

# What the administrator wrote outlives the removal, but not the purge.
echo '# kept' >>"$work/root/etc/default/helloop"
inside dpkg --remove helloop
[ ! -e "$work/root/usr/bin/helloop" ] || fail 'the binary is still there'
grep --quiet '^# kept$' "$work/root/etc/default/helloop" || fail 'settings were thrown away'
inside dpkg --purge helloop
rm "$work/root/tmp/package.deb"
# What dpkg and its triggers write down for themselves is no part of the package.
left=$(cd "$work/upper" && find . -type f ! -path './var/lib/dpkg/*' ! -path './var/log/*' ! -path './var/cache/*')
[ -z "$left" ] || fail "these files are left: $left"
printf '%s: installed, started, asked, removed\n' "$(basename "$package")"
