#!/usr/bin/env bash
# Makes the package for Debian of a static binary that is there (packaging/static.sh): target/packages/helloop_….deb
#
# cargo-deb does it (`cargo install --locked cargo-deb`); Cargo.toml says what is in it. The same sources give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p target/packages
# Built as tests are: whatever writes them, they have the same bytes.
cargo run --quiet --locked --features manuals -- manuals target/packages/manuals
. packaging/environment.sh

# A hand-written log, which has to know this version.
head -n 1 packaging/debian/changelog | grep --quiet --fixed-strings "helloop ($version-1)" ||
    { echo "packaging/debian/changelog does not begin with version $version-1" >&2; exit 1; }

packaging/licences.sh | gzip --best --no-name >target/packages/third-party-licences.gz
cargo deb --quiet --locked --no-build --no-strip --target "$target" --output target/packages/
