//! Names of files for bodies, made of URLs.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use url::Url;

/// Bytes of a name. Most file systems take 255; the rest is for what makes it unique.
const NAME_BYTES_MAX: usize = 200;

/// Gives every URL a name of its own: the second `localhost_World` is `localhost_World-2`.
#[derive(Debug, Default)]
pub(super) struct Names {
    hasher: RandomState,
    /// How often each was given, by its hash: a list of URLs may be long. Where two names have the
    /// same hash, one gets a number that it does not need.
    given: HashMap<u64, u32>,
}

impl Names {
    /// A name in which there is no way out of a directory: ASCII letters, digits, and a few marks,
    /// the first of them no dot.
    pub(super) fn name(&mut self, url: &str) -> String {
        let name = Url::parse(url).map_or_else(|_| plain(url), |url| name_of(&url));
        let mut unique = name.clone();
        loop {
            let times = self.given.entry(self.hasher.hash_one(&unique)).or_default();
            *times += 1;
            if *times == 1 {
                return unique;
            }
            unique = format!("{name}-{times}");
        }
    }
}

/// Host, port, path and query.
fn name_of(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!("_{port}"));
    let query = url.query().map_or_else(String::new, |query| format!("_{query}"));
    plain(&format!("{}{port}{}{query}", url.host_str().unwrap_or_default(), url.path()))
}

fn plain(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.=+,@%~".contains(c);
    let name: String = text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let name = name.trim_start_matches('.').trim_end_matches('_');
    let name = if name.is_empty() { "body" } else { name };
    name[..name.len().min(NAME_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(url: &str) -> String {
        Names::default().name(url)
    }

    #[test]
    fn names_tell_where_they_are_from() {
        assert_eq!(name("http://localhost:8080/World"), "localhost_8080_World");
        assert_eq!(name("http://localhost/"), "localhost");
        assert_eq!(name("http://[::1]:80/a/b.html?q=1#f"), "___1__a_b.html_q=1");
        assert_eq!(name("http://h/J%C3%BCrgen"), "h_J%C3%BCrgen");
    }

    #[test]
    fn no_name_leads_out_of_its_directory() {
        for url in [
            "http://h/../../etc/passwd",
            "http://h/..%2f..%2fetc%2fpasswd",
            "http://h/%2e%2e/%2e%2e/x",
            "http://h/a\\..\\b",
            "../../x",
            "..",
            ".bashrc",
            "",
            "http://h/\u{202e}\0\n",
        ] {
            let name = name(url);
            assert!(!name.is_empty() && !name.starts_with('.'), "{url}: {name}");
            assert!(!name.contains(['/', '\\', '\0', '\n']) && name.is_ascii(), "{url}: {name}");
        }
        assert!(name(&format!("http://h/{}", "x".repeat(10_000))).len() <= NAME_BYTES_MAX);
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut names = Names::default();
        let given = ["http://h/a-2", "http://h/a", "http://h/a", "http://h/a", "http://h//a"]
            .map(|url| names.name(url));
        assert_eq!(given, ["h_a-2", "h_a", "h_a-3", "h_a-4", "h__a"]);
    }
}
