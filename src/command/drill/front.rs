//! A balancer in front of two servers, with the configuration of `packaging/` and addresses of the drill's own.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use clap::ValueEnum;
use helloop::event_loop::Handle;
use tempfile::TempDir;

use super::said::Said;
use super::server::{EndingSignal, Limits, Server, Way};
use super::trouble::Trouble;

const HAPROXY: &str = include_str!("../../../packaging/haproxy/haproxy.cfg");
const NGINX: &str = include_str!("../../../packaging/nginx/nginx.conf");

/// The names of the servers, in haproxy's configuration and in what is told.
pub(super) const NAMES: [char; 2] = ['a', 'b'];

/// Between two questions to haproxy.
const GLANCE: Duration = Duration::from_millis(50);

/// How long nginx leaves a server alone that has refused a connection, and some more: it counts whole seconds, and asks
/// again when more than `fail_timeout`, 1 s here, lie between them. From the end of one second, that is 1 s; from its
/// beginning, 2 s. If the other server were ended before, nginx would know of none, and answer 502.
const NGINX_PAUSE: Duration = Duration::from_millis(2200);

/// What stands between the clients and the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Behind {
    /// Nothing: there is one server
    #[default]
    None,
    /// Two servers behind haproxy, which asks for their health and repeats nothing
    Haproxy,
    /// Two servers behind nginx, which sends to the other one what one has refused
    Nginx,
}

impl Behind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Behind::None => "nothing",
            Behind::Haproxy => "haproxy",
            Behind::Nginx => "nginx",
        }
    }
}

/// A balancer that runs. Its files go when it is dropped.
pub(super) struct Front {
    kind: Behind,
    limit: Duration,
    directory: TempDir,
    pub(super) server: Server,
}

impl Front {
    /// Starts it in front of the servers on `ports`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(super) async fn start(
        handle: &Handle,
        kind: Behind,
        port: u16,
        ports: [u16; 2],
        health_path: &str,
        limits: Limits,
    ) -> Result<Front, Trouble> {
        let failed = |error: std::io::Error| Trouble::System(format!("a directory: {error}"));
        let directory = tempfile::tempdir().map_err(failed)?;
        let here = directory.path();
        let text = match kind {
            Behind::Nginx => nginx(here, port, ports),
            _ => haproxy(here, port, ports, health_path),
        };
        let path = |name: &str| here.join(name).to_string_lossy().into_owned();
        fs::write(here.join("configuration"), text).map_err(failed)?;
        let typed = match kind {
            Behind::Nginx => {
                let place = here.to_string_lossy().into_owned();
                let configuration = path("configuration");
                ["nginx", "-e", "stderr", "-p", &place, "-c", &configuration]
                    .map(str::to_owned)
                    .to_vec()
            }
            _ => ["haproxy", "-db", "-f", &path("configuration")].map(str::to_owned).to_vec(),
        };
        let said = Rc::new(RefCell::new(Said::default()));
        let mut server =
            Server::new(handle, typed, port, limits, Way::Anew(EndingSignal::Term), &said);
        server.start().await?;
        Ok(Front { kind, limit: limits.start, directory, server })
    }

    /// Waits until it asks the server with this number again.
    ///
    /// # Errors
    /// When it does not.
    pub(super) async fn takes(&self, handle: &Handle, number: usize) -> Result<(), Trouble> {
        if self.kind == Behind::Nginx {
            handle.sleep(NGINX_PAUSE).await;
            return Ok(());
        }
        let (stats, name) = (self.directory.path().join("stats"), NAMES[number]);
        let is_up = async {
            loop {
                let stats = stats.clone();
                let asked = handle.run_blocking(move || is_up(&stats, name)).await;
                if asked.is_ok_and(|is_up| is_up) {
                    return;
                }
                handle.sleep(GLANCE).await;
            }
        };
        let limit = self.limit;
        let not_taken = |_| Trouble::NotTaken { balancer: "haproxy", server: name, limit };
        handle.timeout(limit, is_up).await.map_err(not_taken)
    }
}

/// What haproxy says of a server: lines of values with commas, of which the 18th is the status.
fn is_up(stats: &Path, name: char) -> bool {
    let mut table = String::new();
    let asked = UnixStream::connect(stats).and_then(|mut stream| {
        stream.set_read_timeout(Some(GLANCE * 20))?;
        stream.write_all(b"show stat\n")?;
        stream.read_to_string(&mut table)
    });
    let line = table.lines().find(|line| line.starts_with(&format!("helloop,{name},")));
    asked.is_ok() && line.and_then(|line| line.split(',').nth(17)) == Some("UP")
}

fn haproxy(here: &Path, port: u16, ports: [u16; 2], health_path: &str) -> String {
    let text = HAPROXY
        .replace("bind :8080", &format!("bind 127.0.0.1:{port}"))
        .replace("GET /healthz", &format!("GET {health_path}"))
        .replace("127.0.0.1:8081", &format!("127.0.0.1:{}", ports[0]))
        .replace("127.0.0.1:8082", &format!("127.0.0.1:{}", ports[1]));
    format!("global\n    nbthread 1\n    stats socket unix@{}/stats\n{text}", here.display())
}

/// It needs no privileges, and writes only into `here`.
fn nginx(here: &Path, port: u16, ports: [u16; 2]) -> String {
    let here = here.display();
    let paths = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"]
        .map(|name| format!("    {name}_temp_path {here}/{name};\n"))
        .concat();
    let text = NGINX
        .replace("http {\n", &format!("http {{\n    access_log off;\n{paths}"))
        .replace("listen 8080", &format!("listen 127.0.0.1:{port}"))
        .replace("127.0.0.1:8081", &format!("127.0.0.1:{}", ports[0]))
        .replace("127.0.0.1:8082", &format!("127.0.0.1:{}", ports[1]));
    format!("daemon off;\nmaster_process off;\npid {here}/pid;\nerror_log stderr;\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_have_the_addresses_of_the_drill_and_no_others() {
        let here = Path::new("/here");
        let text = haproxy(here, 1, [2, 3], "/up");
        for part in ["bind 127.0.0.1:1\n", "GET /up\n", "a 127.0.0.1:2\n", "b 127.0.0.1:3\n"] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        let text = nginx(here, 1, [2, 3]);
        for part in ["listen 127.0.0.1:1;", "127.0.0.1:2 max", "127.0.0.1:3 max", "/here/proxy;"] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        let settings = |text: &str| -> String {
            text.lines().filter(|line| !line.trim_start().starts_with('#')).collect()
        };
        for text in [settings(&haproxy(here, 1, [2, 3], "/up")), settings(&text)] {
            assert!(!text.contains("808") && !text.contains("healthz"), "{text}");
        }
    }
}
