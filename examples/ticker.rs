//! A task of your own beside a server, on one loop: `cargo run --example ticker`.
//!
//! A task is a state machine: the loop resumes it, it does a little, and says what it waits for.

use std::time::Duration;

use helloop::event_loop::{Context, EventLoop, Flow, Task};
use helloop::greeting::Greeting;
use helloop::server::{Server, ServerHandle};

/// Says where time is, three times, and then ends the server.
struct Ticker {
    left: u32,
    server: ServerHandle,
}

impl Task for Ticker {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        println!("tick at {} s in turn {}: {}", cx.now(), cx.handle().turns(), cx.cause());
        if self.left == 0 {
            self.server.drain(Duration::from_secs(1));
            return Flow::Done;
        }
        self.left -= 1;
        cx.handle().at(cx.now() + Duration::from_millis(200), cx.task());
        Flow::Wait
    }

    fn kind(&self) -> &'static str {
        "ticker"
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut event_loop = EventLoop::new()?;
    let server = Server::builder().bind("localhost:0")?;
    let attached = server.attach(event_loop.handle(), Greeting)?;
    let handle = attached.handle().clone();
    event_loop.handle().spawn_task(|_| Box::new(Ticker { left: 3, server: handle }));
    event_loop.run_until(|| attached.is_finished())?;
    println!("{:?}", attached.report());
    Ok(())
}
