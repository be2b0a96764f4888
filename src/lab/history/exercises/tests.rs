use std::collections::BTreeSet;

use super::*;
use crate::greeting::Greeting;

fn history(recipe: &str) -> History {
    History::new(&recipe.parse().unwrap(), || Greeting).unwrap()
}

fn missing(exercise: &Exercise, recipe: &str) -> Option<&'static str> {
    exercise.missing(&history(recipe)).unwrap()
}

/// Those for which everything is there that they need.
fn all() -> impl Iterator<Item = &'static Exercise> {
    EXERCISES.iter().filter(|exercise| cfg!(feature = "client") || exercise.name != "gather")
}

#[test]
fn every_solution_is_right_and_stands_where_it_says() {
    let mut wrong = Vec::new();
    for exercise in all() {
        let Exercise { name, solution, .. } = exercise;
        let solved = history(solution);
        let missing = exercise.missing(&solved).unwrap();
        let stands = solved.recipe().to_string();
        if missing.is_some() || stands != *solution {
            wrong.push(format!("{name}: {stands} misses {missing:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// On the way to its solution, and past it, all else is refused: each condition is missed by some moment, and no more than
/// a few moments are right.
#[test]
fn other_moments_are_refused_and_each_condition_refuses_some() {
    // What the way to the solution does not miss, another recipe does.
    let others: &[(&str, &[&str])] = &[
        ("turn", &["seed=1&act=0:one&at=7"]),
        ("slow-client", &["seed=1&act=0:one&at=5"]),
        ("half-close", &["seed=1&act=0:smuggle&at=4"]),
        ("timers", &["seed=1&act=0:sleep,0:slow-reader&at=11"]),
        ("descriptors", &["seed=1&act=0:descriptors&at=9"]),
        ("keep-alive", &["seed=1&act=0:pair&at=6"]),
        (
            "smuggling",
            &[
                "seed=1&at=1",
                "seed=1&act=0:smuggle&at=20",
                "seed=1&faults=cut:100&act=0:smuggle&at=20",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for exercise in all() {
        let Exercise { name, solution, conditions } = exercise;
        let recipe: Recipe = solution.parse().unwrap();
        let near = (0..recipe.moment + 8)
            .filter(|moment| *moment != recipe.moment)
            .map(|moment| Recipe { moment, ..recipe.clone() }.to_string());
        let more = others.iter().filter(|(of, _)| of == name).flat_map(|(_, more)| *more);
        let mut missed = BTreeSet::new();
        let mut right = 0;
        for recipe in near.chain(more.map(|recipe| (*recipe).to_owned())) {
            match missing(exercise, &recipe) {
                Some(condition) => drop(missed.insert(condition)),
                None => right += 1,
            }
        }
        let all: BTreeSet<_> = conditions.iter().map(|(condition, _)| *condition).collect();
        // A moment may be one of a few: between two that show the same.
        if missed != all || right > 8 {
            wrong.push(format!(
                "{name}: {missed:?} of {all:?} are missed, {right} others are right"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_are_there_once() {
    let names: BTreeSet<_> = EXERCISES.iter().map(|exercise| exercise.name).collect();
    assert_eq!(names.len(), EXERCISES.len());
    assert!(named("turn").is_some() && named("turns").is_none());
}

/// The page can say what is missing.
#[test]
fn each_condition_has_its_sentence() {
    let texts = include_str!("../../page/texts/en.json");
    let texts: serde_json::Value = serde_json::from_str(texts).unwrap();
    let lessons = texts["lessons"].as_object().unwrap();
    assert_eq!(lessons.len(), EXERCISES.len());
    for Exercise { name, conditions, .. } in &EXERCISES {
        let sentences = lessons[*name]["exercise"]["missing"].as_object().unwrap();
        let sentences: BTreeSet<_> = sentences.keys().map(String::as_str).collect();
        let conditions: BTreeSet<_> = conditions.iter().map(|(condition, _)| *condition).collect();
        assert_eq!(sentences, conditions, "{name}");
    }
}
