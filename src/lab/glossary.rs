//! The words of the glossary, for a page that explains them where they stand. There is one source, the page of the
//! documentation.

use serde_json::Value;

const GLOSSARY: &str = include_str!("../../docs/glossary.md");

/// Each word, and what it means.
fn words() -> impl Iterator<Item = (&'static str, String)> {
    let entries = GLOSSARY.split("\n### ").skip(1);
    entries.filter_map(|entry| {
        let (word, text) = entry.split_once('\n')?;
        // The page has no markup in texts.
        let text = text.replace(['*', '`'], "");
        Some((word.trim(), text.split_whitespace().collect::<Vec<_>>().join(" ")))
    })
}

/// What a page is told as `glossary`: an object of JSON.
pub(super) fn to_json() -> Value {
    words().map(|(word, text)| (word.to_owned(), Value::from(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_glossary_is_there_with_its_sentence() {
        let words: Vec<_> = words().collect();
        assert_eq!(words.len(), GLOSSARY.matches("### ").count());
        for (word, text) in &words {
            assert!(text.ends_with('.') && !text.contains(['\n', '#', '`']), "{word}: {text}");
        }
        let sticky = words.iter().find(|(word, _)| *word == "Sticky readiness").unwrap();
        assert!(sticky.1.starts_with("Readiness that was reported stays noted"), "{}", sticky.1);
    }
}
