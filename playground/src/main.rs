//! Writes the playground: one HTML file that works without a server and without a network.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use helloop::lab::PAGE;

const TARGET: &str = "wasm32-unknown-unknown";

const HELP: &str = "\
Writes the playground, one HTML file, and says where.

Usage: helloop-playground [--without-client] [--output FILE]

  --without-client   leave out the HTTP client, and the handler that fetches: a smaller file
  --output FILE      write here [default: playground/target/playground.html]
  --help             show this

It needs the target: rustup target add wasm32-unknown-unknown
wasm-opt makes the file smaller if it is there.";

struct Options {
    has_client: bool,
    output: PathBuf,
}

/// What was typed; `None`: help was asked for.
fn options(arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
    let output = home().join("target/playground.html");
    let mut options = Options { has_client: true, output };
    let mut arguments = arguments.skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(None),
            Some("--without-client") => options.has_client = false,
            Some("--output") => {
                let file = arguments.next().ok_or("--output needs the name of a file")?;
                options.output = file.into();
            }
            _ => {
                return Err(format!(
                    "there is no argument {argument:?}; --help shows those there are"
                ));
            }
        }
    }
    Ok(Some(options))
}

fn main() -> ExitCode {
    let options = match options(env::args_os()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            eprintln!("helloop-playground: {text}");
            return ExitCode::from(2);
        }
    };
    match write(&options) {
        Ok(bytes) => {
            println!("{} ({bytes} bytes)", options.output.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("helloop-playground: {error}");
            ExitCode::FAILURE
        }
    }
}

/// This crate's directory.
fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn write(options: &Options) -> Result<usize, Box<dyn Error>> {
    let built = build(options.has_client)?;
    let module = optimised(&built)?;
    let page = page(&module)?;
    fs::write(&options.output, &page)
        .map_err(|error| format!("{} cannot be written: {error}", options.output.display()))?;
    Ok(page.len())
}

/// Compiles the module. Returns where it is.
fn build(has_client: bool) -> Result<PathBuf, Box<dyn Error>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let directory = home().join("target");
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--release", "--lib", "--target", TARGET]);
    command.arg("--manifest-path").arg(home().join("Cargo.toml"));
    command.arg("--target-dir").arg(&directory);
    if !has_client {
        command.arg("--no-default-features");
    }
    // Flags for this machine's linker are not for the module's.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    if !command.status()?.success() {
        let remedy = format!("is the target there? rustup target add {TARGET}");
        return Err(format!("the module was not compiled; {remedy}").into());
    }
    Ok(directory.join(TARGET).join("release/helloop_playground.wasm"))
}

/// The module, made smaller if the tool for it is here.
fn optimised(built: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let smaller = built.with_extension("opt.wasm");
    let mut command = Command::new("wasm-opt");
    command.args(["-Os", "--all-features"]).arg(built).arg("-o").arg(&smaller);
    let is_smaller = command.status().is_ok_and(|status| status.success());
    Ok(fs::read(if is_smaller { &smaller } else { built })?)
}

/// The lab's page, with the module in it: compressed, in base64.
fn page(module: &[u8]) -> Result<String, Box<dyn Error>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(module)?;
    let data = BASE64_STANDARD.encode(gzip.finish()?);
    let script = "<script type=\"module\">";
    let both = format!("<script id=\"wasm\" type=\"text/plain\">{data}</script>\n{script}");
    Ok(PAGE.replacen(script, &both, 1))
}
