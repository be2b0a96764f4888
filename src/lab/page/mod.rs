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
    include_str!("source.js"),
    include_str!("ring.js"),
    include_str!("queue.js"),
    include_str!("diagram.js"),
    include_str!("tasks.js"),
    include_str!("listings.js"),
    include_str!("kernel.js"),
    include_str!("timeline.js"),
    include_str!("narrator.js"),
    include_str!("traffic.js"),
    include_str!("controls.js"),
    include_str!("time.js"),
    include_str!("steps.js"),
    include_str!("lessons.js"),
    include_str!("lessons_further.js"),
    include_str!("tour.js"),
    include_str!("main.js"),
    "</script>\n</body>\n</html>\n",
);

#[cfg(test)]
mod tests {
    use super::PAGE;

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
