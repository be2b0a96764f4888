# shellcheck shell=bash
# Sourced by the scripts beside it: what the bytes of a build depend on, next to the sources and the compiler.

target=${target:-$(uname -m)-unknown-linux-musl}

# The commit and its moment, unless the caller says otherwise. Sources that differ from the commit say so.
if git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
    HELLOOP_COMMIT=${HELLOOP_COMMIT:-$(git rev-parse HEAD)$(git diff --quiet HEAD || echo -dirty)}
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
fi
export HELLOOP_COMMIT=${HELLOOP_COMMIT:-}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
[ -n "$HELLOOP_COMMIT" ] || unset HELLOOP_COMMIT

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# Paths that panics would name: the folder of the sources, Cargo's, and that of the standard library's sources, where
# they are installed. Others' flags would change the bytes, so they do not count.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
rust_commit=$(rustc --version --verbose | sed -n 's/^commit-hash: //p')
RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo"
RUSTFLAGS+=" --remap-path-prefix=$PWD=/helloop"
RUSTFLAGS+=" --remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust=/rustc/$rust_commit"
export RUSTFLAGS CARGO_INCREMENTAL=0
unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
