use crate::lab::page::Lab;
use crate::program::command;

#[test]
fn a_simulated_world_goes_back_and_tells_what_it_told() {
    let mut lab = Lab::simulated("7", &[]);
    let mut page = lab.open();
    let (_, hello) = &page.told[0];
    assert_eq!((&hello["back"], &hello["seed"]), (&true.into(), &7.into()));
    lab.press("traffic?scenario=one");
    page.wait_for("traffic", |note| note["step"] == "sent");
    let mut seen = Vec::new();
    for _ in 0..5 {
        lab.press("step-resume");
        page.wait_for_stop();
        seen.push(page.told.back().unwrap().1.clone());
    }
    for seen in seen.iter().rev().skip(1) {
        lab.press("back-resume");
        page.wait_for("back", |_| true);
        let mut shown = page.wait_for("snapshot", |_| true);
        assert_eq!(shown["moments"], 5);
        shown["moments"] = seen["moments"].clone();
        assert_eq!(shown, *seen);
    }
    // Another page is shown the same.
    let mut other = lab.open();
    let moment = other.told.back().unwrap().1["moment"].clone();
    assert_eq!(moment, 1);
    lab.press("step-turn");
    for page in [&mut page, &mut other] {
        page.wait_for("snapshot", |shown| shown["moment"].as_u64() > Some(1));
    }
    lab.program.signal("TERM");
    assert_eq!(lab.program.end().0, Some(0));
}

#[test]
fn who_may_only_look_at_a_simulated_world_does_nothing() {
    let lab = Lab::simulated("seed=7&act=0:one&at=3", &["--read-only"]);
    let page = lab.open();
    let (_, shown) = page.told.back().unwrap();
    assert_eq!((&shown["recipe"], &shown["moment"]), (&"seed=7&act=0:one".into(), &3.into()));
    let (status, answer) = lab.ask("POST", &format!("{}do/step-turn", lab.path), "");
    assert_eq!((status, answer["error"].as_str().unwrap().contains("--read-only")), (403, true));
    let (status, _) = lab.ask("GET", "/guess/events", "");
    assert_eq!(status, 404);
}

#[test]
fn a_recipe_that_makes_no_sense_is_a_mistake_in_usage() {
    for (typed, named) in [("seven", "`seven`"), ("seed=1&at=x", "a number from 0")] {
        let output = command(&["lab", "--sim", typed]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(named), "{said}");
    }
}
