//! The links of `docs/teach.md` lead to what it says.

use std::fs;
use std::path::Path;

use helloop::greeting::Greeting;
use helloop::lab::history::{History, Recipe};

#[test]
fn the_moments_for_teachers_show_what_they_say() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/teach.md");
    let page = fs::read_to_string(page).unwrap();
    let mut moments = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && line.contains("`#seed=")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (recipe, said) =
            (cells[2].trim_matches('`').trim_start_matches('#'), cells[3].trim_matches('"'));
        let recipe: Recipe = recipe.parse().unwrap();
        let before = Recipe { moment: recipe.moment - 1, ..recipe.clone() };
        let count = |recipe: &Recipe| {
            let history = History::new(recipe, || Greeting).unwrap();
            assert_eq!(history.moment(), recipe.moment, "{row}");
            history.text().matches(&format!("\"text\":\"{said}")).count()
        };
        assert!(count(&recipe) > count(&before), "{row}");
        moments += 1;
    }
    assert!(moments >= 10, "only {moments} were found");
    // The exercise has answers: some seeds lose the client, others do not.
    let answered = |seed: u64| {
        let recipe = format!("seed={seed}&faults=cut:100&act=0:one&at=60").parse().unwrap();
        History::new(&recipe, || Greeting).unwrap().text().contains(r#""step":"received""#)
    };
    let answered: Vec<bool> = (1..60).map(answered).collect();
    assert!(answered.contains(&true) && answered.contains(&false), "{answered:?}");
}
