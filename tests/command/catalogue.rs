//! The catalogue in `tests/catalogue`, over TCP.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::program::{Program, command};

use crate::support::catalogue as pages;

/// Without the command line there are no arguments, and the environment says where to listen.
#[cfg(feature = "cli")]
const ARGUMENTS: [&str; 1] = ["serve"];
#[cfg(not(feature = "cli"))]
const ARGUMENTS: [&str; 0] = [];

#[test]
fn every_case_is_answered_over_tcp_as_the_catalogue_says() {
    let program = Program::start(command(&ARGUMENTS).env("HELLOOP_LISTEN", "127.0.0.1:0"));
    let mut wrong = Vec::new();
    for case in pages::cases() {
        let mut stream = program.connect();
        stream.write_all(&case.sent()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = Vec::new();
        // A reset would be an error here, and an end that does not come as well.
        stream.read_to_end(&mut answers).unwrap_or_else(|e| panic!("{}: {e}", case.place));
        wrong.extend(case.check(&answers).err());
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
