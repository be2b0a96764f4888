//! `helloop-oci write BINARY LAYOUT` and `helloop-oci check LAYOUT`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use helloop_oci::{Build, Content, check, write};
use lexopt::prelude::*;

const USAGE: &str = "\
usage: helloop-oci write --version VERSION [--revision COMMIT] [--hostile] BINARY LAYOUT
       helloop-oci check LAYOUT

  write       makes the folder LAYOUT, an image with the static BINARY and nothing else
  check       holds every byte of LAYOUT against the specification of image layouts
  --version   the image's version and tag
  --revision  the commit that BINARY was built from
  --hostile   BINARY is examples/hostile, and not helloop

Everything in an image bears the moment SOURCE_DATE_EPOCH (seconds since 1970; default 0).";

enum Order {
    Write { binary: PathBuf, build: Build, layout: PathBuf },
    Check(PathBuf),
}

fn main() -> ExitCode {
    let order = match order() {
        Ok(order) => order,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match carry_out(&order) {
        Ok(digests) => {
            digests.iter().for_each(|digest| println!("{digest}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(order: &Order) -> Result<Vec<String>> {
    match order {
        Order::Check(layout) => check(layout),
        Order::Write { binary, build, layout } => {
            let read = fs::read(binary);
            let bytes = read.with_context(|| format!("cannot read {}", binary.display()))?;
            Ok(vec![write(&bytes, build, layout)?])
        }
    }
}

fn order() -> Result<Order, lexopt::Error> {
    let (mut words, mut version, mut revision) = (Vec::new(), None, None);
    let mut content = Content::Helloop;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("version") => version = Some(parser.value()?.string()?),
            Long("revision") => revision = Some(parser.value()?.string()?),
            Long("hostile") => content = Content::Hostile,
            Value(word) => words.push(word),
            _ => return Err(argument.unexpected()),
        }
    }
    let mut words = words.into_iter();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(word), Some(layout), None, None) if word == "check" => {
            Ok(Order::Check(layout.into()))
        }
        (Some(word), Some(binary), Some(layout), None) if word == "write" => {
            let version = version.ok_or("write needs --version")?;
            let build = Build { content, version, revision, created: created()? };
            Ok(Order::Write { binary: binary.into(), build, layout: layout.into() })
        }
        _ => Err("write BINARY LAYOUT, or check LAYOUT".into()),
    }
}

fn created() -> Result<u64, lexopt::Error> {
    match env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(0),
        Ok(text) => {
            text.parse().map_err(|_| format!("SOURCE_DATE_EPOCH={text:?}: not a number").into())
        }
    }
}
