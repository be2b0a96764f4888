//! What the fuzz targets call. The properties are those of the crate's tests, where they are held
//! against every input that is kept.
#![allow(dead_code, reason = "shared with the tests")]

use std::panic;
use std::sync::Once;

#[path = "../../tests/support/sim.rs"]
mod sim;
#[path = "../../tests/support/checkers/mod.rs"]
mod checkers;
#[path = "../../tests/fuzz/command/mod.rs"]
mod command;
#[path = "../../tests/support/perfetto_rules.rs"]
mod perfetto_rules;
#[path = "../../tests/fuzz/properties/mod.rs"]
mod properties;

/// What a handler of the property `server` says when its path asks it to panic.
const PLANTED: &str = "as the path asked";

/// libFuzzer ends the process at every panic, also at one that the server under test catches.
fn let_planted_panics_pass() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let end = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&PLANTED) {
                end(info);
            }
        }));
    });
}

/// Holds the property with this name against `data`.
///
/// # Panics
/// If it is violated, or there is none.
pub fn hold(name: &str, data: &[u8]) {
    let_planted_panics_pass();
    (properties::find(name).hold)(data);
}
