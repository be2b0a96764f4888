#!/usr/bin/env bash
# Prints the licences of every crate that the static binary is linked with: they ask for their texts to go with it.
#
#   packaging/licences.sh [FLAGS OF cargo tree] >FILE
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/environment.sh
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT

cargo metadata --locked --format-version 1 --filter-platform "$target" |
    jq --raw-output '.packages[] | "\(.name) v\(.version)\t\(.license)\t\(.manifest_path)"' | sort >"$work/all"
cargo tree --locked --edges normal --target "$target" --prefix none --format '{p}' "$@" |
    sed 's/ (.*//' | sort --unique | grep -v '^helloop ' >"$work/built"

while read -r crate; do
    line=$(grep --fixed-strings "$crate	" "$work/all")
    IFS=$'\t' read -r _ licence manifest <<<"$line"
    printf '== %s: %s\n\n' "$crate" "$licence"
    found=
    for text in "$(dirname "$manifest")"/{LICEN[CS]E,COPYING,COPYRIGHT,NOTICE,UNLICENSE}*; do
        [ -f "$text" ] || continue
        found=yes
        printf -- '-- %s\n\n' "$(basename "$text")"
        cat "$text"
        printf '\n'
    done
    [ -n "$found" ] || echo "$crate: its licence is not in its package" >&2
done <"$work/built"
