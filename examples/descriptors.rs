//! What is no stream, on the loop of a server: datagrams are echoed, and a file is followed as `tail -f` does
//! it (with inotify(7), so on Linux). `cargo run --example descriptors -- FILE`, then append to FILE.

use std::ffi::OsString;
#[cfg(target_os = "linux")]
use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::UdpSocket;

use helloop::coroutine::{self, Readable};
use helloop::event_loop::Handle;
use helloop::greeting::Greeting;
use helloop::server::Server;
#[cfg(target_os = "linux")]
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Sends every datagram back to where it came from.
async fn echo(mut socket: Readable<UdpSocket>) -> io::Result<()> {
    let mut datagram = [0; 1500];
    loop {
        let (bytes, peer) = socket.read_with(|it| it.recv_from(&mut datagram)).await?;
        // As the network does, it loses what there is no room for.
        let _ = socket.get_ref().send_to(&datagram[..bytes], peer);
    }
}

#[cfg(not(target_os = "linux"))]
async fn follow(_: Handle, _: OsString) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there is no inotify here"))
}

/// Prints what is appended to a file from now on.
#[cfg(target_os = "linux")]
async fn follow(handle: Handle, path: OsString) -> io::Result<()> {
    let mut file = File::open(&path)?;
    file.seek(SeekFrom::End(0))?;
    // The file itself is always readable, so it is inotify(7) that says when there is more in it.
    let changes = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&changes, path.as_os_str(), WatchFlags::MODIFY)?;
    let mut changes = Readable::new(&handle, changes)?;
    println!("follows {}", path.display());
    let (mut records, mut text) = ([0; 4096], Vec::new());
    loop {
        // What they say in detail is of no interest: something has changed.
        changes.read_with(|it| Ok(rustix::io::read(it, &mut records)?)).await?;
        file.read_to_end(&mut text)?;
        io::stdout().write_all(&text)?;
        text.clear();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: descriptors FILE")?;
    coroutine::run(|handle| async move {
        let server = Server::builder().bind("localhost:0")?.attach(&handle, Greeting)?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        println!("Server started at http://{}/", server.local_addrs()[0]);
        println!("echoes on udp {}", socket.local_addr()?);
        let echo = handle.spawn(echo(Readable::new(&handle, socket)?));
        let follow = handle.spawn(follow(handle.clone(), path));
        let (echoed, followed) = (echo.await, follow.await);
        echoed??;
        followed??;
        Ok(())
    })?
}
