#!/usr/bin/env bash
# Builds the static binary twice, in two folders, with two homes of Cargo, and compares the bytes.
#
#   packaging/reproduce.sh [--first FILE] [FLAGS OF cargo build]
#
# With --first FILE one of the two is a binary that packaging/static.sh has built of the same sources before.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/environment.sh

first=
if [ "${1:-}" = --first ]; then
    first=$2
    shift 2
fi
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT

# Builds what is here in a folder of its own, and says where the binary is.
build() {
    local folder=$1 home=$2
    shift 2
    mkdir -p "$folder" "$home"
    # What is fetched already need not be fetched again.
    for shared in registry config.toml; do
        [ ! -e "$cargo_home/$shared" ] || ln -s "$cargo_home/$shared" "$home/$shared"
    done
    git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$folder"
    CARGO_HOME=$home target=$target CARGO_TARGET_DIR="$folder/target" \
        "$folder/packaging/static.sh" "$@" >&2
    printf '%s\n' "$folder/target/$target/release/helloop"
}

[ -n "$first" ] || first=$(build "$work/one" "$work/cargo" "$@")
second=$(build "$work/another/much/deeper" "$work/other/cargo" "$@")
if ! cmp "$first" "$second"; then
    sha256sum "$first" "$second"
    exit 1
fi
printf 'the same bytes twice: %s (%s bytes)\n' "$(sha256sum <"$first" | cut -d ' ' -f 1)" "$(stat -c %s "$first")"
