//! reqwest, as it is out of the box.

use std::future::Future;

use helloop_peers::{AsyncFetch, Outcome};

struct Reqwest(reqwest::Client);

impl AsyncFetch for Reqwest {
    fn fetch(&self, url: String) -> impl Future<Output = Outcome<Vec<u8>>> + Send + 'static {
        let client = self.0.clone();
        async move {
            let reply = client.get(url).send().await?.error_for_status()?;
            Ok(reply.bytes().await?.to_vec())
        }
    }
}

fn main() -> Outcome {
    helloop_peers::run(|_| Ok(Reqwest(reqwest::Client::builder().no_proxy().build()?)))
}
