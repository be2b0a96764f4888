#!/usr/bin/env bash
# A rollout, told event by event: two servers behind haproxy under load get a new version, one after the other.
#
#   packaging/haproxy/rollout.sh HELLOOP FOLDER [MINUTES, default 60]
#
# HELLOOP is the binary; FOLDER gets `story`, in which every line of haproxy's and of the servers' logs stands with its
# moment, and `answers`, a line of JSON for each request. docs/operate/rollout.md tells such an hour.
set -euo pipefail
helloop=$(realpath "$1")
folder=$2
minutes=${3:-60}
configuration=$(realpath "$(dirname "$0")/haproxy.cfg")
mkdir -p "$folder"
cd "$folder"
: >story

# Lines with the moment at which they came, and with whose they are.
told() {
    local who=$1 line
    while IFS= read -r line; do
        [ -n "$line" ] || continue
        printf '%s %-8s %s\n' "$(date --utc +%H:%M:%S.%3N)" "$who" "$line" >>story
    done
}
say() { printf '%s\n' "$*" | told rollout; }
# So many hundredths of the whole.
wait_for() { sleep "$(awk -v part="$1" -v all="$minutes" 'BEGIN { print all * 60 * part / 100 }')"; }
metric() { curl --silent "http://127.0.0.1:$1/metrics" | sed -n "s/^$2 //p"; }

# Starts the version $2 at the place $1, with what else is given.
start() {
    local place=$1 version=$2 port=8081
    shift 2
    [ "$place" = a ] || port=8082
    "$helloop" serve --listen "127.0.0.1:$port" --health-path /healthz --drain-delay 2s --admin "127.0.0.1:$((port + 1010))" \
        --header "Version: $version" "$@" 2> >(told "$place") &
    pids[$place]=$!
}
# As a supervisor does: the signal, then the end is waited for.
stop() {
    local code=0
    kill -TERM "${pids[$1]}"
    wait "${pids[$1]}" || code=$?
    say "$1 has ended with $code"
}
declare -A pids

# Its log goes to standard output; a name of its own for each line is not needed.
{ printf 'global\n    log stdout format raw local0 notice\n'; sed 's/^defaults$/&\n    log global/' "$configuration"; } >haproxy.cfg
start a 1
start b 1
# What it says on standard error, its log says too.
haproxy -db -f haproxy.cfg > >(told haproxy) 2>/dev/null &
balancer=$!
curl --silent --fail --output /dev/null --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/
say 'load: 20 requests a second, 8 at once, on connections that are kept'
{ while sleep 0.05; do echo http://127.0.0.1:8080/World; done; } |
    "$helloop" fetch -i - -j 8 --json >answers 2>failures &
load=$!
trap 'kill "$load" "$balancer" "${pids[@]}" 2>/dev/null || :' EXIT

wait_for 10
say 'a: to version 2'
stop a
start a 2
wait_for 30
say "a and b since they began: $(metric 9091 'helloop_requests_total{status="2xx"}') and $(metric 9092 'helloop_requests_total{status="2xx"}') answers; b gets version 2"
stop b
say 'b: version 2 with a wrong flag'
start b 2 --max-connections none
wait_for 5
say 'b: version 1 again'
start b 1
wait_for 25
say 'b: version 2, with the flag mended'
stop b
start b 2
wait_for 20
say 'a: version 2 once more, in its own place'
"$helloop" upgrade "${pids[a]}" 2>&1 | told upgrade
# The one that took its place is no child of ours.
pids[a]=$(sed -n 's/.* process \([0-9]*\) has taken over.*/\1/p' story)
wait_for 10
kill "$load"
wait "$load" || :
say "$(wc -l <answers) requests, $(grep --count '"status":200' answers || :) of them answered with 200"
