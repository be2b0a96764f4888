//! The HTTP layer of xitca without its framework, with one worker.

use std::convert::Infallible;
use std::time::Duration;

use xitca_http::bytes::Bytes;
use xitca_http::config::HttpServiceConfig;
use xitca_http::http::header::{CONTENT_TYPE, HeaderValue};
use xitca_http::http::{Request, RequestExt, Response};
use xitca_http::{HttpServiceBuilder, RequestBody, ResponseBody};
use xitca_service::{ServiceExt, fn_service};

const TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

async fn greet(
    request: Request<RequestExt<RequestBody>>,
) -> Result<Response<ResponseBody>, Infallible> {
    let name = request.uri().path().strip_prefix('/').unwrap_or_default();
    let text = Bytes::from(format!("Hello, {name}!\n"));
    let mut response = Response::new(ResponseBody::bytes(text));
    response.headers_mut().append(CONTENT_TYPE, TYPE);
    Ok(response)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-xitca-http PORT")?.parse()?;
    let config = HttpServiceConfig::new().keep_alive_timeout(Duration::from_secs(600));
    let service = fn_service(greet).enclosed(HttpServiceBuilder::h1().config(config));
    xitca_server::Builder::new()
        .worker_threads(1)
        .bind("greet", ("127.0.0.1", port), service)?
        .build()
        .wait()?;
    Ok(())
}
