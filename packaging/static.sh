#!/usr/bin/env bash
# Builds the static binary: the same sources and the same compiler give the same bytes, wherever they are.
#
#   packaging/static.sh                          the command, TLS and all (needs a C compiler for musl)
#   packaging/static.sh --no-default-features    the bare server
#   packaging/static.sh --no-default-features --features client --example hostile
#
# Whatever follows goes to `cargo build`. `target=aarch64-unknown-linux-musl` builds for another processor.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/environment.sh
cargo build --release --locked --target "$target" "$@"
