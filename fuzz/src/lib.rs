//! What the fuzz targets call. The properties are those of the crate's tests, where they are held
//! against every input that is kept.
#![allow(dead_code, reason = "shared with the tests")]

#[path = "../../tests/it/sim.rs"]
mod sim;
#[path = "../../tests/it/checkers/mod.rs"]
mod checkers;
#[path = "../../tests/fuzz/properties/mod.rs"]
mod properties;

/// Holds the property with this name against `data`.
///
/// # Panics
/// If it is violated, or there is none.
pub fn hold(name: &str, data: &[u8]) {
    (properties::find(name).hold)(data);
}
