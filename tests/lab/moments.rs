//! The links of `docs/teach.md` lead to what it says.

use std::fs;
use std::path::Path;
use std::time::Duration;

use helloop::greeting::Greeting;
use helloop::lab::history::{History, Recipe, Show};

#[test]
fn the_moments_for_teachers_show_what_they_say() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/teach.md");
    let page = fs::read_to_string(page).unwrap();
    let mut moments = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && line.contains("`#seed=")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if !cells[3].starts_with('"') {
            continue;
        }
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
    assert!(moments >= 12, "only {moments} were found");
}

#[test]
fn the_solutions_for_teachers_are_right() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/teach.md");
    let page = fs::read_to_string(page).unwrap();
    let mut solutions = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && line.contains("`#seed=")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let Some(name) = cells[1].split('`').nth(1) else { continue };
        let recipe = cells[3].trim_matches('`').trim_start_matches('#');
        let mut show = Show::new(recipe, || Greeting).unwrap();
        show.messages();
        show.command("check", &format!("exercise={name}"), Duration::ZERO).unwrap();
        let judged = show.messages();
        assert!(judged.contains(r#""missing":null"#), "{row}: {judged}");
        // Its page says the same.
        show.command("solve", &format!("exercise={name}"), Duration::ZERO).unwrap();
        assert_eq!(show.recipe(), recipe, "{name}");
        solutions += 1;
    }
    assert_eq!(solutions, 15);
}
