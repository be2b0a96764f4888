//! Bytes as text: line breaks are cosmetic, `\r \n \t \\ \xHH` are bytes, and `\{text*1000}` is
//! `text` a thousand times.

/// The bytes that `text` stands for.
///
/// # Panics
/// At an escape that is none.
pub(crate) fn parse(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n']) {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let is_escape = rest[at..].starts_with('\\');
        rest = &rest[at + 1..];
        if is_escape {
            rest = parse_escape(rest, &mut bytes);
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// `rest` begins behind a backslash. Gives what is behind the escape.
fn parse_escape<'a>(rest: &'a str, bytes: &mut Vec<u8>) -> &'a str {
    let (letter, rest) = rest.split_at(1);
    match letter {
        "r" => bytes.push(b'\r'),
        "n" => bytes.push(b'\n'),
        "t" => bytes.push(b'\t'),
        "\\" => bytes.push(b'\\'),
        "x" => {
            let (digits, rest) = rest.split_at(2);
            bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits after \\x"));
            return rest;
        }
        "{" => {
            let (repeated, rest) = rest.split_once('}').expect("a } for every \\{");
            let (text, times) = repeated.rsplit_once('*').expect("\\{text*times}");
            let times = times.parse().expect("a number of times");
            bytes.extend_from_slice(&parse(text).repeat(times));
            return rest;
        }
        other => panic!("\\{other} is no escape"),
    }
    rest
}

/// The text that stands for `bytes`, with a line break behind each LF. Runs of one byte that are
/// longer than a line are written as repeats.
pub(crate) fn render(bytes: &[u8]) -> String {
    const RUN_MIN: usize = 100;
    let mut text = String::new();
    let mut rest = bytes;
    while let Some(&byte) = rest.first() {
        let run = rest.iter().take_while(|other| **other == byte).count();
        let taken = if run >= RUN_MIN {
            text += &format!("\\{{{}*{run}}}", render_byte(byte));
            run
        } else {
            text += &render_byte(byte);
            1
        };
        rest = &rest[taken..];
        if byte == b'\n' {
            text.push('\n');
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn render_byte(byte: u8) -> String {
    match byte {
        b'\r' => "\\r".into(),
        b'\n' => "\\n".into(),
        b'\t' => "\\t".into(),
        b'\\' => "\\\\".into(),
        b' '..=b'~' => char::from(byte).into(),
        _ => format!("\\x{byte:02X}"),
    }
}

#[test]
fn text_and_bytes_are_two_ways_to_write_the_same() {
    let bytes: Vec<u8> = (0..=255).chain([b'y'; 300]).collect();
    assert_eq!(parse(&render(&bytes)), bytes);
    assert_eq!(parse("a\nb\\r\\n\n\\{x\\t*3}\\x7F\\\\"), b"ab\r\nx\tx\tx\t\x7f\\");
    assert_eq!(render(b"a\r\nb"), "a\\r\\n\nb\n");
}
