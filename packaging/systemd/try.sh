#!/usr/bin/env bash
# Boots a Debian with systemd in namespaces of its own, and puts the package and its units through their life there: start,
# reload, socket, restart, a blocked loop, upgrade, removal. As root, where the hierarchy "systemd" of cgroups is mounted.
#
#   packaging/systemd/try.sh PACKAGE ROOT
#
# ROOT is made by: debootstrap --variant=minbase --include=systemd,systemd-sysv,curl bookworm ROOT
# It is seen through an overlay, and stays as it is.
set -euo pipefail
groups=/sys/fs/cgroup/systemd/helloop-try
if [ -z "${is_inside:-}" ]; then
    mkdir -p "$groups"
    echo $$ >"$groups/cgroup.procs"
    output=$(mktemp --directory)
    is_inside=yes output=$output timeout --kill-after=5 120 \
        unshare --mount --pid --fork --net --uts --ipc --cgroup --kill-child "$0" "$@" || :
    cat "$output/told"
    # It is written only after everything has held.
    grep --quiet '^all is well$' "$output/told"
    exit
fi
package=$(realpath "$1")
lower=$(realpath "$2")

work=$(mktemp --directory)
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
root=$work/root
mount -t overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd,xattr cgroup "$root/sys/fs/cgroup/systemd"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/output" "$root/old"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount --bind "$output" "$root/output"
ip link set lo up
cp "$package" "$root/root/package.deb"

# What is done once the system is up.
cat >"$root/root/life.sh" <<'LIFE'
set -euo pipefail
ask() { curl --silent --show-error --fail --max-time 10 "http://127.0.0.1:8080/$1"; }
get() { systemctl show --property "$1" --value helloop.service; }
dpkg --install /root/package.deb
[ "$(systemctl is-enabled helloop.service helloop.socket | sort --unique)" = disabled ]
echo HELLOOP_LISTEN=127.0.0.1:8080 >/etc/default/helloop

# What it says, among what is told here.
mkdir -p /run/systemd/system/helloop.service.d
printf '[Service]\nStandardError=append:/output/told\n' >/run/systemd/system/helloop.service.d/log.conf
systemctl daemon-reload

echo '== the service'
systemctl start helloop.service
[ "$(ask World)" = 'Hello, World!' ]
first=$(get MainPID)
# Not root, no capability, no new privileges, a filter of system calls.
grep --extended-regexp '^(Uid|CapBnd|NoNewPrivs|Seccomp):' "/proc/$first/status"
[ "$(stat --format %u "/proc/$first")" -ge 61184 ]
get StatusText

echo '== reload: a new process in the place of the old one'
systemctl reload helloop.service
second=$(get MainPID)
[ "$first" != "$second" ] && [ ! -e "/proc/$first" ]
[ "$(ask World)" = 'Hello, World!' ]
systemctl stop helloop.service
[ "$(get Result) $(get ExecMainStatus)" = 'success 0' ]

echo '== the socket: connections wait while the service is not there'
: >/etc/default/helloop
systemctl start helloop.socket
[ "$(ask World)" = 'Hello, World!' ]
for _ in 1 2 3; do
    systemctl restart helloop.service &
    ask World
    wait $!
done

echo '== a blocked loop is restarted by the watchdog'
kill -STOP "$(get MainPID)"
for _ in $(seq 300); do
    [ "$(get NRestarts)" = 0 ] || break
    sleep 0.1
done
[ "$(get NRestarts)" = 1 ]
[ "$(ask World)" = 'Hello, World!' ]

echo '== upgrade and removal of the package'
before=$(get MainPID)
dpkg --install /root/package.deb
[ "$(get MainPID)" != "$before" ]
grep --quiet "process $(get MainPID) has taken over" /output/told
[ "$(ask World)" = 'Hello, World!' ]
dpkg --purge helloop
! systemctl is-active --quiet helloop.service && ! systemctl is-active --quiet helloop.socket
echo 'all is well'
LIFE
cat >"$root/etc/systemd/system/life.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /root/life.sh
StandardOutput=append:/output/told
StandardError=append:/output/told
ExecStopPost=/bin/systemctl poweroff --force --force
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../life.service "$root/etc/systemd/system/multi-user.target.wants/"

cd "$root"
pivot_root . old
umount --lazy /old
exec env --ignore-environment container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
    </dev/null >/dev/null 2>&1
