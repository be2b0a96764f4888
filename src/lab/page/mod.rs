//! The lab's page: one file without anything from elsewhere, joined when the crate is compiled.

/// The page as it is served. The scripts share one module; each may use what those before it
/// define.
pub const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<title>helloop lab</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n",
    include_str!("base.css"),
    include_str!("panels.css"),
    include_str!("lanes.css"),
    include_str!("over.css"),
    "</style>\n</head>\n<body>\n",
    include_str!("body.html"),
    "<script type=\"module\">\n",
    include_str!("words.js"),
    include_str!("model.js"),
    include_str!("fold.js"),
    include_str!("draw.js"),
    include_str!("glossary.js"),
    include_str!("source.js"),
    include_str!("ring.js"),
    include_str!("queue.js"),
    include_str!("diagram.js"),
    include_str!("tasks.js"),
    include_str!("totals.js"),
    include_str!("listings.js"),
    include_str!("kernel.js"),
    include_str!("timeline.js"),
    include_str!("narrator.js"),
    include_str!("traffic.js"),
    include_str!("controls.js"),
    include_str!("code.js"),
    include_str!("time.js"),
    "\nconst TEXTS = {\nen: ",
    include_str!("texts/en.json"),
    ",\nde: ",
    include_str!("texts/de.json"),
    "};\n",
    include_str!("texts.js"),
    include_str!("what_if.js"),
    include_str!("steps.js"),
    include_str!("questions.js"),
    include_str!("lessons.js"),
    include_str!("lessons_further.js"),
    include_str!("exercises.js"),
    include_str!("tour.js"),
    include_str!("main.js"),
    "</script>\n</body>\n</html>\n",
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::PAGE;

    const ENGLISH: &str = include_str!("texts/en.json");

    /// The texts of the lessons in the languages that there are.
    const TRANSLATIONS: [&str; 1] = [include_str!("texts/de.json")];

    /// Where each text stands, and the text.
    fn texts(json: &str) -> BTreeMap<String, String> {
        fn collect(value: &Value, place: &str, texts: &mut BTreeMap<String, String>) {
            match value {
                Value::Object(members) => {
                    for (key, value) in members {
                        collect(value, &format!("{place}/{key}"), texts);
                    }
                }
                Value::Array(items) => {
                    for (at, value) in items.iter().enumerate() {
                        collect(value, &format!("{place}/{at}"), texts);
                    }
                }
                Value::String(text) => drop(texts.insert(place.into(), text.clone())),
                other => panic!("{place} is no text: {other}"),
            }
        }
        let mut all = BTreeMap::new();
        collect(&serde_json::from_str(json).unwrap(), "", &mut all);
        all
    }

    /// What is the same in every language: what is filled in, and code.
    fn fixed(text: &str) -> Vec<&str> {
        let code = text.split('`').skip(1).step_by(2);
        let filled_in = text.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let mut all: Vec<&str> = code.chain(filled_in).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn a_translation_has_every_text_and_fills_in_the_same() {
        let english = texts(ENGLISH);
        assert!(english.len() > 250, "{}", english.len());
        for translation in TRANSLATIONS {
            let other = texts(translation);
            let keys = |texts: &BTreeMap<String, String>| texts.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&english), keys(&other));
            for (place, text) in &english {
                assert!(!text.is_empty() && text.matches('`').count() % 2 == 0, "{place}: {text}");
                assert_eq!(fixed(text), fixed(&other[place]), "{place}");
            }
        }
    }

    /// A text that no step asks for would be translated for nobody.
    #[test]
    fn every_text_of_a_lesson_belongs_to_a_step() {
        let english: Value = serde_json::from_str(ENGLISH).unwrap();
        let scripts = concat!(include_str!("lessons.js"), include_str!("lessons_further.js"));
        let mut scripts = scripts.split("for (const lesson of LESSONS)").next().unwrap();
        let mut lessons = 0;
        while let Some((_, lesson)) = scripts.split_once("\n    id: '") {
            let (id, rest) = lesson.split_once('\'').unwrap();
            let steps = rest.split("\n    id: '").next().unwrap();
            let mut ids: Vec<&str> =
                steps.split("id: '").skip(1).map(|rest| rest.split('\'').next().unwrap()).collect();
            ids.sort_unstable();
            let said = english["lessons"][id]["steps"].as_object().unwrap();
            assert_eq!(said.keys().map(String::as_str).collect::<Vec<_>>(), ids, "{id}");
            (scripts, lessons) = (rest, lessons + 1);
        }
        assert_eq!(lessons, english["lessons"].as_object().unwrap().len());
    }

    #[test]
    fn the_page_is_one_file_that_asks_nobody_else() {
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("</script").count(), 1);
        assert_eq!(PAGE.matches("<style").count(), 1);
        for elsewhere in ["src=", "@import", "url(", "import(", "https:"] {
            assert!(!PAGE.contains(elsewhere), "{elsewhere}");
        }
        // The name of a namespace is no address that is fetched.
        let addresses = PAGE.replace("http://www.w3.org/2000/svg", "").matches("http:").count();
        assert_eq!(addresses, 0);
    }

    #[test]
    fn what_the_scripts_look_for_is_in_the_body() {
        let body = include_str!("body.html");
        for rest in PAGE.split("byName('").skip(1) {
            let id = rest.split('\'').next().unwrap();
            assert!(body.contains(&format!("id=\"{id}\"")), "no element has the id {id}");
        }
    }
}
