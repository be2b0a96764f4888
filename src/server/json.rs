//! Functions from JSON to JSON as services.

use std::fmt;
use std::marker::PhantomData;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::error::Category;

use super::Service;
use crate::http::{Request, Response, Status};

/// A function as a service: its argument is the body of a request, read as JSON, and its value is the answer, written as
/// JSON. A body that is not JSON is answered 400, one that is not of the argument's type 422, both with what is wrong
/// and where. The method, and the type that the request names, are not looked at.
///
/// ```
/// use helloop::http::{Request, RequestBuf, Response};
/// use helloop::server::{Router, Service, json};
/// use serde_json::Value;
///
/// let routes = Router::new()
///     .route("POST", "/echo", json(|value: Value| value))
///     .route("POST", "/sum", json(|numbers: Vec<i64>| numbers.iter().sum::<i64>()));
/// # let mut response = Response::new();
/// # routes.call(&Request::new("POST", "/sum")?, &mut response);
/// # assert_eq!(response.current_status().code(), 400);
/// # Ok::<(), helloop::http::Error>(())
/// ```
pub fn json<F, T, R>(function: F) -> Json<F, T>
where
    F: Fn(T) -> R,
    T: DeserializeOwned,
    R: Serialize,
{
    Json { function, argument: PhantomData }
}

/// See [`json`].
///
/// ```
/// use helloop::server::{Json, json};
///
/// /// A service that can be named.
/// type Doubles = Json<fn(i64) -> i64, i64>;
///
/// let doubles: Doubles = json(|number| 2 * number);
/// # drop(doubles);
/// ```
#[derive(Clone)]
pub struct Json<F, T> {
    function: F,
    argument: PhantomData<fn(T)>,
}

impl<F, T, R> Service for Json<F, T>
where
    F: Fn(T) -> R,
    T: DeserializeOwned,
    R: Serialize,
{
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        match request.json().map(|argument| (self.function)(argument)) {
            Ok(value) => {
                if let Err(error) = response.json(&value) {
                    log::error!("an answer cannot be written as JSON: {error}");
                    response.status(Status::INTERNAL_SERVER_ERROR).text("the service failed\n");
                }
            }
            Err(error) => {
                let status = match error.classify() {
                    Category::Data => Status::UNPROCESSABLE_CONTENT,
                    Category::Io | Category::Syntax | Category::Eof => Status::BAD_REQUEST,
                };
                response.status(status).text(format_args!("{error}\n"));
            }
        }
    }
}

impl<F, T> fmt::Debug for Json<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestBuf;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_wrong_is_told_by_its_kind() {
        let sum = json(|numbers: Vec<i32>| numbers.iter().sum::<i32>());
        let answer = |body: &[u8]| {
            let request = RequestBuf::from(&Request::new("POST", "/").unwrap()).with_body(body);
            let mut response = Response::new();
            sum.call(&request.as_request(), &mut response);
            let text = String::from_utf8(response.current_body().to_vec()).unwrap();
            (response.current_status().code(), text)
        };
        assert_eq!(answer(b"[1, 2]"), (200, "3".to_owned()));
        assert_eq!(answer(b"[1, 2").0, 400);
        assert_eq!(answer(b"").0, 400);
        let (code, text) = answer(b"[1, \"two\"]");
        assert_eq!(code, 422);
        assert!(text.contains("invalid type: string \"two\", expected i32 at line 1"), "{text}");
        // A key that is no text.
        let odd = json(|_: ()| BTreeMap::from([((1, 2), 3)]));
        let mut response = Response::new();
        let request = RequestBuf::from(&Request::new("POST", "/").unwrap()).with_body(b"null");
        odd.call(&request.as_request(), &mut response);
        assert_eq!(response.current_status(), Status::INTERNAL_SERVER_ERROR);
    }
}
