//! `helloop ps`: the tasks on the loop that a lab watches.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use helloop::client::Client;
use helloop::coroutine;
use helloop::event_loop::Handle;
use serde_json::Value;

use super::logging::{self, LogFormat};
use super::usage;
use crate::command::run::complain;
use page::page;

mod page;

/// Bytes of an answer. At the limit: an error. A lab lists at most 200 tasks, in less than a tenth
/// of this; as objects in memory, a forged answer may take a hundred times as much.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

const AFTER_HELP: &str = "\
Example:
  helloop ps http://127.0.0.1:40123/0123456789abcdef0123456789abcdef/

Exit codes:
  0  it was printed
  1  the lab did not answer, or not as a lab does
  2  usage";

/// Print the tasks on the event loop that a lab watches, with their states and what they wait for
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The address of the lab's page, as the lab has printed it
    #[arg(value_name = "URL")]
    url: String,
}

/// Runs the subcommand.
///
/// # Errors
/// When what was typed is no address of a lab.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode, clap::Error> {
    logging::install(0, LogFormat::Text, Box::new(io::stderr()));
    let url = arguments.url.trim_end_matches('/');
    if !url.starts_with("http://") {
        return Err(usage("ps", "the address of a lab begins with http://"));
    }
    let url = format!("{url}/snapshot");
    let told = match coroutine::run(|handle| async move { ask(&handle, &url).await }) {
        Ok(told) => told,
        Err(error) => Err(error.to_string()),
    };
    Ok(match told {
        Ok(text) => {
            // If standard output is closed, that is no error.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(format_args!("{why}"));
            ExitCode::FAILURE
        }
    })
}

async fn ask(handle: &Handle, url: &str) -> Result<String, String> {
    let told = |error: helloop::client::Error| error.to_string();
    let client = Client::builder(handle).body_bytes_max(ANSWER_BYTES_MAX).build().map_err(told)?;
    let reply = client.get(url).send().await.map_err(told)?;
    let status = reply.status();
    let text = reply.text().await.map_err(told)?;
    let answer: Value =
        serde_json::from_str(&text).map_err(|_| format!("this is no lab: status {status}"))?;
    if let Some(error) = answer["error"].as_str() {
        return Err(error.to_owned());
    }
    Ok(page(&answer))
}
