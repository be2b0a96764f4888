//! What the greeting server answers: a test for each row of its table, pointing at the cases of
//! the pages that show it. A row without a case does not compile, a case that is gone fails.

use crate::it::transcripts::{cases, check};

/// Runs the named cases of a page.
fn shown_by(page: &str, names: &[&str]) {
    let cases = cases(page);
    for name in names {
        let case = cases.iter().find(|case| case.name == *name);
        check(case.unwrap_or_else(|| panic!("{page}.md has no case \"{name}\"")));
    }
}

/// `row: page ["case" …], page ["case" …];`
macro_rules! rows {
    ($($row:ident: $($page:ident [$($name:literal)+]),+;)*) => {
        $(
            #[test]
            fn $row() {
                $(shown_by(stringify!($page), &[$($name),+]);)+
            }
        )*
    };
}

rows! {
    get_a_name_is_greeted: targets ["a name"];
    get_nobody_is_greeted_as_anonymous: targets ["no name"];
    a_name_is_percent_decoded_once_as_utf8: targets ["names are decoded once, as UTF-8"];
    an_encoded_slash_is_data: targets ["an encoded slash is data"];
    the_query_is_ignored: targets ["the query is ignored"];
    other_paths_are_404_without_normalisation: targets
        ["other paths are not found" "dots are letters"];
    a_name_that_is_no_text_is_400: targets
        ["escapes that are none" "names that are not UTF-8" "control characters in a name"];
    raw_bytes_a_fragment_or_a_space_in_the_target_are_400: targets
        ["raw bytes above ASCII in a target" "a fragment in a target" "a space in a target"
         "a tab in a target"];
    head_is_get_without_the_body: heads
        ["HEAD" "HEAD with a target that is refused" "HEAD with another scheme"
         "HEAD with a fragment" "HEAD with another version"],
        framing ["HEAD with a body"], limits ["the request line of a HEAD is too long"],
        timeouts ["a HEAD that stays incomplete"],
        services ["an answer to HEAD has the length of that to GET"];
    other_known_methods_are_405_and_stay_framed: heads ["methods that are not allowed"],
        framing ["a refused method's body is read"];
    options_for_the_server_is_204: heads ["OPTIONS for the server as a whole"];
    unknown_methods_are_501_and_the_connection_stays: heads ["unknown methods"];
    connect_is_501_or_400_and_closes: heads
        ["CONNECT" "CONNECT to a path" "CONNECT to what is no authority" "CONNECT without a port"
         "CONNECT with user information"];
    absolute_form_is_as_origin_form: targets
        ["absolute-form" "another scheme" "user information" "a port that is none"
         "a port that is no number" "an empty authority"];
    http_1_0_closes_unless_asked_otherwise: keep_alive
        ["HTTP/1.0" "HTTP/1.0 with keep-alive" "HTTP/1.0 with chunks" "HTTP/1.0 with a body"];
    http_1_2_to_1_9_are_as_1_1: heads ["HTTP/1.2 to 1.9"];
    other_versions_are_505_and_other_protocols_400: heads
        ["HTTP/2.0 in a request line" "HTTP/3.0 in a request line" "HTTP/0.9 in a request line"
         "the preface of HTTP/2" "a TLS hello" "an SSH banner" "HTTP/0.9"];
    host_is_there_once_and_valid_perhaps_empty: heads
        ["no Host" "two Hosts" "an invalid Host" "a Host with user information"
         "a Host with a bad port" "a Host with a port that is none" "an empty Host"];
    malformed_lines_are_400: heads
        ["a space before the colon" "line folding" "white space before the first field"
         "a bare CR" "a bare CR in the request line" "a bare LF" "nothing but bare LF"
         "NUL in a value" "NUL in a name" "a missing colon" "an empty name"];
    doubtful_lengths_are_400: framing
        ["two lengths that differ" "two lengths that agree" "a list of lengths" "a signed length"
         "a negative length" "a hexadecimal length" "an empty length" "a length of 2^64"
         "length and encoding" "encoding and length"];
    transfer_encoding_is_one_chunked: framing
        ["an unknown coding" "identity" "chunked twice" "chunked not last" "an empty encoding"
         "chunked with a parameter" "chunked after a vertical tab" "encoding over two lines"];
    malformed_chunks_are_400_and_floods_413_or_431: chunked
        ["an empty size line" "a size with 0x" "a size with a sign" "a size that overflows"
         "the largest size" "sizes whose sum overflows" "a bare LF after a size"
         "a CR without LF after a size" "white space after a size"
         "a bare LF after an extension" "a control character in an extension"
         "an extension without a name" "an extension whose name is no token"
         "an extension with an open quote" "an extension without its value"
         "an extension with white space after it" "extensions of every form"
         "data longer than announced" "data shorter than announced" "a flood of extensions"
         "a flood of trailers" "too many trailers" "a trailer without a colon"
         "a folded trailer" "a bare LF after the last chunk"];
    a_head_too_large_is_414_or_431: limits
        ["the request line is too long" "a method that never ends" "the fields are too long"
         "a head that just fits" "too many fields" "as many fields as the defaults allow"
         "the default length of a head"], targets ["a target too long"];
    a_body_over_the_limit_is_413: limits
        ["a body that is announced too long" "a body that is discarded has the same limit"],
        framing ["a length of 2^64 - 1"], chunked ["a chunk too many"];
    continue_is_said_only_if_the_body_is_going_to_be_read: expect
        ["the body is going to be read" "the body is there already" "the body has begun"
         "chunks are going to be read" "nobody wants the body"
         "nobody wants the body, which is there" "the body would be too long" "no body"
         "another expectation" "another expectation without a body" "HTTP/1.0 expects nothing"];
    pipelined_requests_are_answered_in_order: pipelining
        ["two requests in one packet" "the good before the bad" "nothing after a close"
         "bodies between requests" "more requests than one resume answers"
         "more output than may wait" "the end after a flush"];
    connection_close_is_a_token_in_a_list: keep_alive
        ["close among other tokens" "a token that only contains close"
         "close wins over keep-alive"];
    a_half_close_is_not_a_close: keep_alive
        ["a request and then the end" "nothing and then the end" "the end within a head"
         "the end within a body"];
    what_does_not_come_in_time_is_408: timeouts
        ["a head that stays incomplete" "a head that stays incomplete after an empty line"
         "a head that stays incomplete after a good request" "a body that stays incomplete"
         "chunks that stay incomplete"];
    an_idle_connection_is_closed_silently: timeouts
        ["an idle connection" "a connection on which nothing ever came" "one empty line"
         "an empty line after a message"];
    one_empty_line_before_a_request_is_skipped_and_two_are_400: heads
        ["one empty line too much" "two empty lines too much" "one empty line alone"],
        keep_alive ["one empty line and then the end"],
        limits ["the empty line that was forgiven does not count"];
    a_header_of_the_application_begins_no_line: services ["a header that would forge another"];
}

/// One plain-text line each, and nothing of the request in it.
#[test]
fn error_bodies_are_one_line_and_echo_nothing() {
    let mark = "fO0bAr";
    let requests = [
        format!("GET /{mark}/b HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /{mark}%zz HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("{mark} / HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {mark}@\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{mark}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {mark}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nExpect: {mark}\r\n\r\n"),
        format!("GET {mark} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / {mark}/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {mark}\r\n\r\n"),
    ];
    for request in requests {
        let mut house = crate::sim::House::calm(
            helloop::limits::Limits::default(),
            helloop::greeting::Greeting,
        );
        let client = house.connect();
        client.send(&request);
        house.settle();
        let text = client.receive();
        assert!(!text.contains(mark), "{request:?} is echoed in {text:?}");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        assert!(head.contains("Content-Type: text/plain; charset=utf-8\r\n"), "{text:?}");
        let status: u16 = head[9..12].parse().expect("a status");
        assert!((400..600).contains(&status), "{request:?} is answered {status}");
        assert!(body.len() > 1 && body.find('\n') == Some(body.len() - 1), "{body:?}");
    }
}
