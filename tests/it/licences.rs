//! Every crate that we build on may be passed on as `deny.toml` says.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use spdx::{Expression, ParseMode};

/// The licences that `deny.toml` allows.
fn allowed(configuration: &str) -> BTreeSet<String> {
    let (_, list) = configuration.split_once("\nallow = [").expect("deny.toml has a list");
    let (list, _) = list.split_once(']').expect("the list ends");
    list.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect()
}

/// Whether one of the ways to take the crate is allowed. `MIT/Apache-2.0` is how older crates write `OR`.
fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> Result<bool, String> {
    let expression =
        Expression::parse_mode(licence, ParseMode::LAX).map_err(|error| error.to_string())?;
    Ok(expression.evaluate(|one| {
        one.license.id().is_some_and(|id| allowed.contains(id.name)) && one.addition.is_none()
    }))
}

#[test]
fn the_licences_of_all_crates_are_allowed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let configuration = std::fs::read_to_string(root.join("deny.toml")).unwrap();
    let allowed = allowed(&configuration);
    assert!(allowed.contains("MIT") && allowed.len() >= 5, "{allowed:?}");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--all-features", "--edges", "normal,build,dev"]);
    cargo.args(["--prefix", "none", "--format", "{p}\t{l}"]).current_dir(root);
    let output = cargo.output().expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<_> =
        list.lines().map(|line| line.trim_end_matches(" (*)").split_once('\t').unwrap()).collect();
    assert!(crates.len() > 100, "only {} crates were found", crates.len());
    for (name, licence) in crates {
        assert_eq!(is_allowed(licence, &allowed), Ok(true), "{name}: {licence:?}");
    }
}

#[test]
fn a_licence_that_is_not_in_the_list_is_found() {
    let allowed = ["MIT", "Apache-2.0"].map(str::to_owned).into();
    let is = |licence| is_allowed(licence, &allowed);
    assert_eq!(is("GPL-3.0-only OR MIT"), Ok(true));
    assert_eq!(is("MIT/Apache-2.0"), Ok(true));
    assert_eq!(is("GPL-3.0-only AND MIT"), Ok(false));
    assert_eq!(is("MIT WITH LLVM-exception"), Ok(false));
    assert!(is("").is_err());
}
