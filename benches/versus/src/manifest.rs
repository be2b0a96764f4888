//! `versus.toml`: one stanza per server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::case;
use crate::figures::Metric;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// What restarts servers under load, if anything does.
    pub(crate) drill: Option<Drill>,
    /// In the order of the file.
    #[serde(rename = "server")]
    pub(crate) servers: Vec<Stanza>,
}

/// A server. Commands may contain the placeholders of [`Places`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stanza {
    /// How it is called in tables and on the command line.
    pub(crate) name: String,
    /// What it is, in a few words.
    pub(crate) what: String,
    /// What a reader of the figures must know.
    #[serde(default)]
    pub(crate) notes: String,
    /// Programs without which it cannot be built or started.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// The command that installs what it needs, for people.
    #[serde(default)]
    pub(crate) install: String,
    /// Run by `sh -c` before the first measurement; empty: nothing to build.
    #[serde(default)]
    pub(crate) build: String,
    /// Split into words and executed; it must stay in the foreground.
    pub(crate) start: String,
    /// Added to the environment of `start`.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// A configuration whose placeholders are filled in; the result is `{config}`.
    #[serde(default)]
    pub(crate) config: Option<String>,
    /// Prints the version, by `sh -c`; the first line of its output counts.
    #[serde(default)]
    pub(crate) version: String,
    /// The executable, if its size means something.
    #[serde(default)]
    pub(crate) binary: Option<String>,
    /// Cases that it cannot take part in, and why.
    #[serde(default)]
    pub(crate) cannot: BTreeMap<String, String>,
    /// What a figure may be at most, in the unit of the raw data: promises that are looked at.
    #[serde(default)]
    pub(crate) bars: BTreeMap<Metric, f64>,
    /// The signal on which it ends in good order, as `helloop drill --signal` calls it.
    #[serde(default = "term")]
    pub(crate) drain: String,
    /// True if a client that waits holds others up: it is held against one case at a time.
    #[serde(default)]
    pub(crate) alone: bool,
    /// True if callgrind can run it: it is native code, and ends on SIGTERM.
    #[serde(default)]
    pub(crate) callgrind: bool,
    /// True if it takes part in a look, where nobody is named.
    #[serde(default)]
    pub(crate) quick: bool,
}

/// How `helloop drill` is had. Commands may contain the placeholders of [`Places`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drill {
    /// Run by `sh -c`, before servers are held against the cases.
    pub(crate) build: String,
    /// Split into words; the arguments of a drill follow.
    pub(crate) start: String,
}

fn term() -> String {
    "TERM".to_owned()
}

impl Manifest {
    /// Reads and checks the file.
    pub(crate) fn read(path: &Path) -> Result<Manifest> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Manifest::parse(&text).with_context(|| format!("{} is wrong", path.display()))
    }

    fn parse(text: &str) -> Result<Manifest> {
        let manifest: Manifest = toml::from_str(text)?;
        for (index, stanza) in manifest.servers.iter().enumerate() {
            if manifest.servers[..index].iter().any(|other| other.name == stanza.name) {
                bail!("two servers are called {:?}", stanza.name);
            }
            if let Some(unknown) = stanza.cannot.keys().find(|name| !case::is_known(name)) {
                bail!("{:?} cannot {unknown:?}, but no case is called so", stanza.name);
            }
            if !stanza.start.contains("{port}")
                && stanza.config.is_none()
                && !stanza.env.values().any(|value| value.contains("{port}"))
            {
                bail!("{:?} is not told its {{port}}", stanza.name);
            }
        }
        Ok(manifest)
    }

    /// Those that are called one of `names`, in the order of the file; all if there are no names.
    pub(crate) fn select(&self, names: &[String]) -> Result<Vec<Stanza>> {
        if let Some(unknown) = names.iter().find(|n| !self.servers.iter().any(|s| s.name == **n)) {
            let known: Vec<&str> = self.servers.iter().map(|s| s.name.as_str()).collect();
            bail!("no server is called {unknown:?}; there are {}", known.join(", "));
        }
        let chosen = |stanza: &&Stanza| names.is_empty() || names.contains(&stanza.name);
        Ok(self.servers.iter().filter(chosen).cloned().collect())
    }

    /// Those that take part in a look.
    pub(crate) fn quick(&self) -> Vec<Stanza> {
        self.servers.iter().filter(|stanza| stanza.quick).cloned().collect()
    }
}

/// What the placeholders of a stanza stand for.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// `{here}`: the folder of `versus.toml`.
    pub(crate) here: PathBuf,
    /// `{target}`: where peers are built.
    pub(crate) target: PathBuf,
    /// `{core}`: the core that the server is pinned to.
    pub(crate) core: usize,
    /// `{port}`, on 127.0.0.1.
    pub(crate) port: u16,
    /// `{work}`: an empty folder, gone afterwards.
    pub(crate) work: PathBuf,
    /// `{config}`: the configuration, filled in.
    pub(crate) config: PathBuf,
}

impl Places {
    /// For commands that run before there is a port: building, asking for the version.
    pub(crate) fn at_rest(here: &Path) -> Places {
        let (work, config) = (PathBuf::new(), PathBuf::new());
        Places {
            here: here.into(),
            target: here.join("target/peers"),
            core: 0,
            port: 0,
            work,
            config,
        }
    }

    /// `text` with everything filled in.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in [
            ("{here}", self.here.display().to_string()),
            ("{target}", self.target.display().to_string()),
            ("{core}", self.core.to_string()),
            ("{port}", self.port.to_string()),
            ("{work}", self.work.display().to_string()),
            ("{config}", self.config.display().to_string()),
        ] {
            text = text.replace(name, &value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "[[server]]\nname = \"a\"\nwhat = \"\"\nstart = \"a {port}\"\n";

    #[test]
    fn the_shipped_file_is_right() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = Manifest::read(&here.join("versus.toml")).unwrap();
        let quick = manifest.quick().len();
        assert!((5..=10).contains(&quick), "{quick} servers in a look");
        for stanza in &manifest.servers {
            assert!(!stanza.what.is_empty(), "{} does not say what it is", stanza.name);
            let config = stanza.config.as_ref().map(|config| here.join(config));
            assert!(config.is_none_or(|config| config.is_file()), "{}: no config", stanza.name);
            assert!(shlex::split(&stanza.start).is_some(), "{}: odd quotes", stanza.name);
        }
    }

    #[test]
    fn mistakes_are_told() {
        let told = |text: &str| format!("{:#}", Manifest::parse(text).unwrap_err());
        assert!(told(&format!("{ONE}{ONE}")).contains("two servers are called \"a\""));
        assert!(told(&ONE.replace(" {port}", "")).contains("not told its {port}"));
        let cannot = told(&format!("{ONE}cannot = {{ fly = \"no wings\" }}"));
        assert!(cannot.contains("no case is called so"));
        assert!(told(&format!("{ONE}colour = 1\n")).contains("colour"));
    }

    #[test]
    fn servers_are_chosen_by_name() {
        let text = format!("{ONE}{}", ONE.replace("\"a\"", "\"b\""));
        let manifest = Manifest::parse(&text).unwrap();
        let names = |only: &[&str]| -> Vec<String> {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            manifest.select(&only).unwrap().into_iter().map(|stanza| stanza.name).collect()
        };
        assert_eq!(names(&[]), ["a", "b"]);
        assert_eq!(names(&["b"]), ["b"]);
        assert!(manifest.select(&["c".into()]).unwrap_err().to_string().contains("a, b"));
    }

    #[test]
    fn placeholders_are_filled_in_and_other_braces_stay() {
        let mut places = Places::at_rest(Path::new("/h"));
        places.port = 81;
        assert_eq!(places.fill("http { listen {port}; } {here}/x"), "http { listen 81; } /h/x");
    }
}
