//! The lab's page in a real browser, over a real `helloop lab`.
//!
//! The browser is the package `chromium` of Debian. Without it the tests say so and pass, but fail
//! where the variable `CI` is set. Pictures of the page are left in `target/tmp/lab`.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod chromium;
mod lab;

mod back;
mod lessons;
mod looking;
mod reading;
mod stepping;
