//! What a request says: texts, and values that crates take out of its query, its cookies and its body.

use std::str::Utf8Error;

use super::Request;

impl<'a> Request<'a> {
    /// The body as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&'a str, Utf8Error> {
        str::from_utf8(self.body)
    }

    /// Names and values in the query, decoded (`+` is a space), in order. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// ```
    /// use helloop::http::Request;
    ///
    /// let request = Request::new("GET", "/search?q=caf%C3%A9+au+lait&page=2")?;
    /// let pairs: Vec<_> = request.query_pairs().collect();
    /// assert_eq!(pairs, [("q".into(), "café au lait".into()), ("page".into(), "2".into())]);
    /// assert_eq!(request.query_value("page").as_deref(), Some("2"));
    /// assert_eq!(request.query_value("size"), None);
    /// # Ok::<(), helloop::http::Error>(())
    /// ```
    #[cfg(feature = "form")]
    pub fn query_pairs(&self) -> form_urlencoded::Parse<'a> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// The value of the first such name in the query.
    #[cfg(feature = "form")]
    pub fn query_value(&self, name: &str) -> Option<std::borrow::Cow<'a, str>> {
        self.query_pairs().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Names and values in a body that a form has sent (`application/x-www-form-urlencoded`), as in
    /// [`query_pairs`](Request::query_pairs). The type that the request names is not looked at.
    #[cfg(feature = "form")]
    pub fn form_pairs(&self) -> form_urlencoded::Parse<'a> {
        form_urlencoded::parse(self.body)
    }

    /// The cookies that came with the request, in order. What is no cookie is left out.
    ///
    /// ```
    /// use helloop::http::{Request, Response};
    ///
    /// fn answer(request: &Request<'_>, response: &mut Response) {
    ///     match request.cookie("name") {
    ///         Some(name) => response.text(format_args!("Hello again, {}!\n", name.value())),
    ///         None => response.text("Who are you?\n"),
    ///     };
    /// }
    /// ```
    #[cfg(feature = "cookies")]
    pub fn cookies(&self) -> impl Iterator<Item = cookie::Cookie<'a>> + use<'a> {
        let fields = self.headers.all("Cookie").filter_map(|value| str::from_utf8(value).ok());
        fields.flat_map(cookie::Cookie::split_parse).filter_map(Result::ok)
    }

    /// The first cookie with this name.
    #[cfg(feature = "cookies")]
    pub fn cookie(&self, name: &str) -> Option<cookie::Cookie<'a>> {
        self.cookies().find(|cookie| cookie.name() == name)
    }

    /// The body as a value of any type that serde reads, from JSON. The type that the request names is not looked at.
    ///
    /// ```
    /// use helloop::http::{Request, Response, Status};
    ///
    /// fn sum(request: &Request<'_>, response: &mut Response) {
    ///     match request.json::<Vec<i64>>() {
    ///         Ok(numbers) => response.text(numbers.iter().sum::<i64>()),
    ///         Err(error) => response.status(Status::BAD_REQUEST).text(error),
    ///     };
    /// }
    /// ```
    ///
    /// # Errors
    /// When it is not JSON, or not of that type: and where.
    #[cfg(feature = "json")]
    pub fn json<T: serde_core::Deserialize<'a>>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(self.body)
    }

    /// What stands in the path where a [`Router`](crate::server::Router)'s route has `{name}`, decoded.
    #[cfg(feature = "router")]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params?.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}
