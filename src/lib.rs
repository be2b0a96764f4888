//! helloop (work in progress)
#![forbid(unsafe_code)]

pub mod limits;
pub mod http;
