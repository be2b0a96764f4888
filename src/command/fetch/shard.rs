//! `--shard I/N`: one of N processes takes the URLs of its hosts from a list that all of them read.
//!
//! Limits per host hold within a process, so the URLs of a host must not be divided. Which shard a host belongs to can be
//! worked out elsewhere: CRC-32 (that of zlib and gzip) of the host as the URL standard writes it, modulo N.

use std::str::FromStr;

use helloop::watch::trace::crc32;
use url::Url;

use super::address::Address;

/// Which part of a list is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// Less than `of`.
    index: u32,
    of: u32,
}

impl Shard {
    /// Whether it is this shard's to fetch `address`. Another port or scheme is the same host. What has no host is divided
    /// by the whole of its text.
    pub(super) fn takes(self, address: &Address) -> bool {
        let url = Url::parse(address.with_credentials());
        let hash = match url.as_ref().ok().and_then(Url::host_str) {
            Some(host) => crc32(host.as_bytes()),
            None => crc32(address.with_credentials().as_bytes()),
        };
        hash % self.of == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let number = |text: &str| text.parse::<u32>().ok();
        let parts = text.split_once('/').and_then(|(i, n)| number(i).zip(number(n)));
        match parts {
            Some((index, of)) if index < of => Ok(Shard { index, of }),
            Some((_, 0)) => Err("there must be at least one shard, for example 0/1".into()),
            Some((_, of)) => {
                Err(format!("of {of} shards, the first is 0 and the last is {}", of - 1))
            }
            None => Err(
                "I/N was expected: the number of this shard, from 0 on, and how many there are, \
                         for example 0/8"
                    .into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard_of(url: &str, of: u32) -> Option<u32> {
        let address = Address::new(url);
        let takes = |index: &u32| Shard { index: *index, of }.takes(&address);
        let takers: Vec<u32> = (0..of).filter(takes).collect();
        match takers[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    #[test]
    fn the_shard_of_a_host_is_what_the_page_says() {
        // python3 -c 'import zlib; print([zlib.crc32(h) % 8 for h in (b"localhost", b"example.org", b"[::1]")])'
        let expected = [("localhost", 3), ("example.org", 7), ("[::1]", 7)];
        for (host, shard) in expected {
            assert_eq!(shard_of(&format!("http://{host}/"), 8), Some(shard), "{host}");
        }
    }

    #[test]
    fn a_host_is_one_however_it_is_written() {
        let forms = [
            "http://example.org/a",
            "https://EXAMPLE.org:8443/b?c#d",
            "http://me:secret@example.org/",
            "HTTP://ex%61mple.org",
        ];
        for of in 1..50 {
            let first = shard_of(forms[0], of);
            assert!(first.is_some() && forms.iter().all(|url| shard_of(url, of) == first), "{of}");
        }
    }

    #[test]
    fn each_url_has_one_shard_and_none_is_idle() {
        for of in [1, 2, 3, 8, 100] {
            let mut taken = vec![0; usize::try_from(of).unwrap()];
            for number in 0..2000 {
                let urls = [format!("http://host-{number}.example/"), format!("no URL {number}")];
                for url in urls {
                    let shard = shard_of(&url, of).expect("exactly one takes it");
                    taken[usize::try_from(shard).unwrap()] += 1;
                }
            }
            let share = 4000 / taken.len();
            assert!(taken.iter().all(|taken| (share / 2..=share * 2).contains(taken)), "{taken:?}");
        }
    }

    #[test]
    fn what_is_no_shard_is_explained() {
        let parse = |text: &str| text.parse::<Shard>();
        assert_eq!(parse("7/8"), Ok(Shard { index: 7, of: 8 }));
        assert!(parse("8/8").unwrap_err().contains("the last is 7"));
        assert!(parse("0/0").unwrap_err().contains("at least one"));
        for text in ["", "1", "1/", "/2", "a/b", "-1/2", "1/2/3"] {
            assert!(parse(text).unwrap_err().contains("0/8"), "{text}");
        }
    }
}
