//! hyper's client with the pool of hyper-util.

use std::future::Future;

use helloop_peers::{AsyncFetch, Outcome};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

struct Hyper(Client<HttpConnector, Empty<Bytes>>);

impl AsyncFetch for Hyper {
    fn fetch(&self, url: String) -> impl Future<Output = Outcome<Vec<u8>>> + Send + 'static {
        let client = self.0.clone();
        async move {
            let reply = client.get(url.parse()?).await?;
            if reply.status() != 200 {
                return Err(format!("status {}", reply.status()).into());
            }
            Ok(reply.into_body().collect().await?.to_bytes().to_vec())
        }
    }
}

fn main() -> Outcome {
    helloop_peers::run(|_| {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Hyper(Client::builder(TokioExecutor::new()).build(connector)))
    })
}
