//! Which helloop this is.

use std::sync::LazyLock;

/// The features that a build may have.
const FEATURES: [(&str, bool); 9] = [
    ("cli", cfg!(feature = "cli")),
    ("client", cfg!(feature = "client")),
    ("tls", cfg!(feature = "tls")),
    ("gzip", cfg!(feature = "gzip")),
    ("brotli", cfg!(feature = "brotli")),
    ("zstd", cfg!(feature = "zstd")),
    ("json", cfg!(feature = "json")),
    ("lab", cfg!(feature = "lab")),
    ("twin", cfg!(feature = "twin")),
];

/// The commit, where whoever built it has said so: `HELLOOP_COMMIT=$(git rev-parse HEAD) cargo build`. Nothing else
/// about the place and the moment of the build is in the binary.
pub(crate) const COMMIT: Option<&str> = option_env!("HELLOOP_COMMIT");

/// Version, commit and features.
pub(crate) static LONG: LazyLock<String> = LazyLock::new(|| {
    let with = FEATURES.iter().filter(|(_, is_with)| *is_with).map(|(name, _)| *name);
    let features = with.collect::<Vec<_>>().join(", ");
    let commit = COMMIT.unwrap_or("unknown");
    format!("{}\ncommit: {commit}\nfeatures: {features}", env!("CARGO_PKG_VERSION"))
});
