//! Starting and ending a gateway: with a configuration of ours, without privileges, on a Unix
//! socket.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fronts::ledger::Meant;

/// At the limit a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which gateway, with which configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    /// Takes strange field names, and passes bodies on as they come.
    LenientNginx,
    Haproxy,
    /// Takes requests that it would refuse otherwise.
    LenientHaproxy,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Kind::Nginx | Kind::LenientNginx => "nginx",
            Kind::Haproxy | Kind::LenientHaproxy => "haproxy",
        }
    }
}

/// Where the program is. Debian has both where only root looks by default.
fn find(kind: Kind) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(kind.program())).find(|program| program.is_file())
}

/// Whether the gateway is there. If it is not, says so, past the capture of a test's output.
///
/// # Panics
/// If it is not there and the variable `CI` is set.
pub(crate) fn is_installed(kind: Kind) -> bool {
    let is_there = find(kind).is_some();
    if !is_there {
        let program = kind.program();
        let advice = format!(
            "{program} is not installed; install it with \
             `apt-get install --no-install-recommends nginx-light haproxy`"
        );
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        let _ = writeln!(std::io::stderr(), "skipped: {kind:?}: {advice}");
    }
    is_there
}

/// A running gateway. Dropping it kills it.
pub(crate) struct Gateway {
    kind: Kind,
    child: Child,
    directory: TempDir,
}

impl Gateway {
    /// Starts it in front of the server on `port`, and waits until it accepts connections.
    pub(crate) fn start(kind: Kind, directory: TempDir, port: u16) -> Gateway {
        let text = match kind {
            Kind::Nginx | Kind::LenientNginx => nginx(kind, directory.path(), port),
            Kind::Haproxy | Kind::LenientHaproxy => haproxy(kind, directory.path(), port),
        };
        Gateway::start_configured(kind, directory, &text)
    }

    /// Starts it with this configuration, in which it listens on `front` in the directory.
    pub(crate) fn start_configured(kind: Kind, directory: TempDir, text: &str) -> Gateway {
        let configuration = directory.path().join("configuration");
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new(find(kind).unwrap());
        match kind {
            Kind::Nginx | Kind::LenientNginx => {
                command
                    .arg("-e")
                    .arg(directory.path().join("errors"))
                    .arg("-p")
                    .arg(directory.path());
                command.arg("-c").arg(&configuration);
            }
            Kind::Haproxy | Kind::LenientHaproxy => {
                command.arg("-db").arg("-f").arg(&configuration);
            }
        }
        command.stdin(Stdio::null());
        command.stdout(File::create(directory.path().join("stdout")).unwrap());
        command.stderr(File::create(directory.path().join("stderr")).unwrap());
        let child = command.spawn().unwrap();
        let mut gateway = Gateway { kind, child, directory };
        gateway.wait_for("it never listened", |gateway| gateway.try_connect().is_some());
        gateway
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> UnixStream {
        let client = self.try_connect().unwrap_or_else(|| panic!("it is gone: {}", self.said()));
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    fn try_connect(&self) -> Option<UnixStream> {
        UnixStream::connect(self.directory.path().join("front")).ok()
    }

    /// Ends it in good order and gives what it meant to pass on.
    pub(crate) fn end(&mut self) -> Vec<Meant> {
        let (signal, log) = match self.kind {
            Kind::Nginx | Kind::LenientNginx => ("QUIT", "log"),
            Kind::Haproxy | Kind::LenientHaproxy => ("USR1", "stdout"),
        };
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        self.wait_for("it did not end", |gateway| gateway.child.try_wait().unwrap().is_some());
        let log = fs::read(self.directory.path().join(log)).unwrap();
        match self.kind {
            Kind::Nginx | Kind::LenientNginx => crate::fronts::ledger::of_nginx(&log),
            Kind::Haproxy | Kind::LenientHaproxy => crate::fronts::ledger::of_haproxy(&log),
        }
    }

    fn wait_for(&mut self, otherwise: &str, mut is_there: impl FnMut(&mut Gateway) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_there(self) {
            assert!(Instant::now() < deadline, "{:?}: {otherwise}: {}", self.kind, self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it says about itself.
    fn said(&self) -> String {
        ["stderr", "errors"]
            .map(|name| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default())
            .concat()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A whole configuration of nginx, made one that needs no privileges and writes only into `directory`.
pub(crate) fn unprivileged_nginx(directory: &TempDir, text: &str) -> String {
    let here = directory.path().display();
    let paths = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"]
        .map(|name| format!("    {name}_temp_path {here}/{name};\n"))
        .concat();
    let http = format!("http {{\n    access_log off;\n{paths}");
    let text = text.replace("http {\n", &http);
    format!("daemon off;\nmaster_process off;\npid {here}/pid;\nerror_log {here}/errors;\n{text}")
}

/// One process, one idle upstream connection, no second try; a request outlives its client.
fn nginx(kind: Kind, directory: &Path, port: u16) -> String {
    let directory = directory.display();
    let lenient = match kind {
        Kind::LenientNginx => {
            "ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;
             proxy_request_buffering off;"
        }
        _ => "",
    };
    format!(
        r#"
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/errors;
events {{ worker_connections 64; }}
http {{
    log_format ledger escape=json
        '{{"method":"$request_method","target":"$request_uri","status":"$upstream_status"}}';
    access_log {directory}/log ledger;
    client_body_temp_path {directory}/client_body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    client_max_body_size 0;
    {lenient}
    upstream server {{
        server 127.0.0.1:{port};
        keepalive 1;
        keepalive_requests 1000000;
    }}
    server {{
        listen unix:{directory}/front;
        location / {{
            proxy_pass http://server;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_next_upstream off;
            proxy_ignore_client_abort on;
        }}
    }}
}}
"#
    )
}

/// The same. A line of the ledger: `request`, the server, milliseconds until its answer, status,
/// method, target.
fn haproxy(kind: Kind, directory: &Path, port: u16) -> String {
    let directory = directory.display();
    let lenient = match kind {
        Kind::LenientHaproxy => "option accept-invalid-http-request",
        _ => "",
    };
    format!(
        "
global
    log stdout len 65535 format raw local0
    tune.http.logurilen 32768
    nbthread 1
defaults
    mode http
    log global
    timeout connect 10s
    timeout client 10s
    timeout server 10s
    retries 0
    http-reuse always
frontend front
    bind unix@{directory}/front
    {lenient}
    log-format \"request %s %Tr %ST %HM %HU\"
    default_backend servers
backend servers
    server server 127.0.0.1:{port}
"
    )
}
