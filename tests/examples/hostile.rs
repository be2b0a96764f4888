//! The campaign of hostile worlds: which seeds a shard of it runs.

use crate::examples::example;
use crate::program::run;

fn seeds(arguments: &[&str]) -> String {
    let (code, output, _) = run(&mut example("hostile", arguments));
    assert_eq!(code, Some(0), "{output}");
    output.split_once(": ").expect("it says which seeds it ran").0.to_owned()
}

#[test]
fn shards_share_the_seeds() {
    let shard = |which| seeds(&["--from", "5", "--seeds", "8", "--shard", which]);
    assert_eq!(seeds(&["--from", "5", "--seeds", "8"]), "seeds 5..13");
    assert_eq!(["0/3", "1/3", "2/3"].map(shard), ["seeds 5..7", "seeds 7..10", "seeds 10..13"]);
    let last = format!("seeds {}..{}", u64::MAX - 4, u64::MAX);
    let seeds = seeds(&["--from", &(u64::MAX - 8).to_string(), "--seeds", "8", "--shard", "1/2"]);
    assert_eq!(seeds, last);
}

#[test]
fn a_shard_that_is_none_is_refused() {
    for shard in ["3/3", "0/0", "1", "-1/2", "a/b"] {
        let (code, _, complaint) = run(&mut example("hostile", &["--shard", shard]));
        assert_eq!(code, Some(2), "{shard}");
        assert!(complaint.starts_with("usage: hostile"), "{complaint}");
    }
}
