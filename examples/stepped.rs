//! A `gather` of your own, stepped from a page in the browser: `cargo run --example stepped`.

use std::time::Duration;

use helloop::event_loop::{EventLoop, Handle};
use helloop::lab;

async fn greet(handle: Handle, name: &str, seconds: u64) -> String {
    handle.sleep(Duration::from_secs(seconds)).await;
    format!("Hello, {name}!")
}

fn main() -> std::io::Result<()> {
    let mut event_loop = EventLoop::new()?;
    let handle = event_loop.handle().clone();
    let lab = lab::attach(&mut event_loop, "localhost:0")?;
    println!("Lab at {}", lab.url());
    lab.pause();

    let greetings = lab.run_until_complete(&mut event_loop, async move {
        let greet = |name, seconds| greet(handle.clone(), name, seconds);
        handle.gather([greet("World", 2), greet("Jürgen", 1)]).await
    })?;
    println!("{greetings:?}");
    Ok(())
}
