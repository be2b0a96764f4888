#!/usr/bin/env bash
# Lists what the static binary is made of, for both sets of features: CycloneDX 1.5, JSON, in the folder given.
#
#   packaging/sbom.sh [FOLDER, default target/packages]
#
# cargo-cyclonedx writes it (`cargo install --locked cargo-cyclonedx`). The same sources give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/environment.sh
mkdir -p "${1:-target/packages}"
folder=$(realpath "${1:-target/packages}")
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
# The tool writes beside the manifest.
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$work"

# The tool reads `cargo metadata`, which also names crates that only tests or `crate?/feature` ask for. `cargo tree` names
# what is built, so the rest is left out. Where the sources lay is no part of a list.
only_what_is_built='
    ($tree | split("\n")) as $built
    | def is_built: "\(.name) v\(.version)" as $crate | any($built[]; . == $crate);
    .components |= map(select(is_built))
    | ([.metadata.component["bom-ref"]] + [.components[]["bom-ref"]]) as $refs
    | def is_listed: . as $ref | any($refs[]; . == $ref);
    .dependencies |= map(select(.ref | is_listed) | if .dependsOn then .dependsOn |= map(select(is_listed)) else . end)'

list() {
    local name=$1
    shift
    (cd "$work" && cargo cyclonedx --quiet --format json --spec-version 1.5 --describe binaries \
        --no-build-deps --target "$target" "$@")
    cargo tree --locked --edges normal --target "$target" --prefix none --format '{p}' "$@" |
        sed 's/ (.*//' | sort --unique | grep -v '^helloop ' >"$work/tree"
    jq --rawfile tree "$work/tree" "$only_what_is_built" "$work/helloop_bin.cdx.json" |
        sed "s|path+file://$work|path+file:///helloop|" >"$folder/$name"
    jq --raw-output '.components[] | "\(.name) v\(.version)"' "$folder/$name" | sort | diff "$work/tree" - ||
        { echo "$name lacks these" >&2; return 1; }
    printf '%s: %s crates\n' "$folder/$name" "$(wc -l <"$work/tree")"
}

list "helloop-$version.cdx.json"
list "helloop-$version-bare.cdx.json" --no-default-features
