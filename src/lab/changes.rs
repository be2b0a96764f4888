//! What has changed from one look at the loop to the next, so that a page is not sent everything at every step.
//!
//! Both looks are objects of JSON as `snapshot` makes them. What is told of a member that has changed:
//!
//! | member | what is told |
//! |---|---|
//! | `tasks`, `sources`, `timers` | `{"set": [...], "gone": [...]}`: of each that is new or has changed, what names it and what is new; and the names of those that are not listed any more |
//! | `ready` | `{"drop": 1, "push": [...]}`: so many have left at the front, and these have joined at the end |
//! | any other one | its new value; `null` if it is not there any more |
//!
//! All but `ready` is told as it is now, not as a difference.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// The members that are lists of objects, and which members of an object say which one it is.
const LISTS: [(&str, &[&str]); 3] =
    [("tasks", &["id"]), ("sources", &["id"]), ("timers", &["task", "deadline"])];

/// What is different in `after`.
pub(super) fn changes(before: &Value, after: &Value) -> Value {
    let nothing = Map::new();
    let (before, after) =
        (before.as_object().unwrap_or(&nothing), after.as_object().unwrap_or(&nothing));
    let mut changes = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        changes.insert(name.clone(), Value::Null);
    }
    for (name, new) in after {
        let old = before.get(name).unwrap_or(&Value::Null);
        if old != new {
            let keys = LISTS.iter().find(|(list, _)| list == name).map(|(_, keys)| *keys);
            let change = match keys {
                Some(keys) => of_list(old, new, keys),
                None if name == "ready" => of_queue(old, new),
                None => new.clone(),
            };
            changes.insert(name.clone(), change);
        }
    }
    Value::Object(changes)
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// What says which one it is.
fn name_of(item: &Value, keys: &[&str]) -> String {
    keys.iter().map(|key| format!("{},", item[*key])).collect()
}

fn of_list(old: &Value, new: &Value, keys: &[&str]) -> Value {
    let mut before: HashMap<_, _> =
        items(old).iter().map(|item| (name_of(item, keys), item)).collect();
    let mut set = Vec::new();
    for item in items(new) {
        match before.remove(&name_of(item, keys)) {
            None => set.push(item.clone()),
            Some(old) if old != item => set.push(of_item(old, item, keys)),
            Some(_) => {}
        }
    }
    // In the order in which they were told.
    let is_gone = |item: &&Value| before.contains_key(&name_of(item, keys));
    let gone = items(old).iter().filter(is_gone).map(|item| {
        let name: Map<_, _> =
            keys.iter().map(|key| ((*key).to_owned(), item[*key].clone())).collect();
        Value::Object(name)
    });
    let gone: Vec<_> = gone.collect();
    json!({"set": set, "gone": gone})
}

fn of_item(old: &Value, new: &Value, keys: &[&str]) -> Value {
    let nothing = Map::new();
    let members = new.as_object().unwrap_or(&nothing).iter();
    let is_new = |(name, value): &(&String, &Value)| {
        keys.contains(&name.as_str()) || old[name.as_str()] != **value
    };
    members.filter(is_new).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A queue loses some at the front, and gains some at the end.
fn of_queue(old: &Value, new: &Value) -> Value {
    let (old, new) = (items(old), items(new));
    let fits = |dropped: &usize| new.starts_with(&old[*dropped..]);
    let dropped = (0..=old.len()).find(fits).unwrap_or(old.len());
    json!({"drop": dropped, "push": new[old.len() - dropped..]})
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a page makes of it.
    pub(in crate::lab) fn applied(shown: &mut Value, changes: &Value) {
        for (name, change) in changes.as_object().unwrap() {
            if let Some((_, keys)) = LISTS.iter().find(|(list, _)| list == name) {
                let list = shown[name].as_array_mut().unwrap();
                let same =
                    |item: &Value, named: &Value| name_of(item, keys) == name_of(named, keys);
                let gone = change["gone"].as_array().unwrap();
                list.retain(|item| !gone.iter().any(|named| same(item, named)));
                for set in change["set"].as_array().unwrap() {
                    match list.iter_mut().find(|item| same(item, set)) {
                        None => list.push(set.clone()),
                        Some(item) => {
                            item.as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
                        }
                    }
                }
            } else if name == "ready" {
                let queue = shown[name].as_array_mut().unwrap();
                let dropped = usize::try_from(change["drop"].as_u64().unwrap()).unwrap();
                queue.drain(..dropped);
                queue.extend(change["push"].as_array().unwrap().iter().cloned());
            } else if change.is_null() {
                shown.as_object_mut().unwrap().remove(name);
            } else {
                shown[name] = change.clone();
            }
        }
        // Only timers have an order of their own, and that is theirs, not the list's.
        let by_name = |list: &str| LISTS.iter().find(|(known, _)| *known == list).unwrap().1;
        for list in ["tasks", "sources", "timers"] {
            if let Some(items) = shown[list].as_array_mut() {
                items.sort_by_key(|item| name_of(item, by_name(list)));
            }
        }
    }

    fn look(ready: &[&str], tasks: &Value, timers: &Value) -> Value {
        json!({"turn": 1, "ready": ready, "tasks": tasks, "sources": [], "timers": timers})
    }

    #[test]
    fn only_what_is_new_is_told() {
        let task = |id: &str, state: &str| json!({"id": id, "kind": "connection", "state": state});
        let timer = |task: &str, deadline: u64| json!({"task": task, "deadline": deadline});
        let before = look(
            &["1", "2", "3"],
            &json!([task("1", "idle"), task("2", "idle"), task("3", "idle")]),
            &json!([timer("1", 5), timer("1", 9)]),
        );
        let mut after = look(
            &["2", "3", "1"],
            &json!([task("1", "idle"), task("2", "flushing"), task("4", "idle")]),
            &json!([timer("1", 9), timer("4", 11)]),
        );
        after["groups"] = json!([{"kind": "connection", "count": 3}]);
        let changes = changes(&before, &after);
        let expected = json!({
            "groups": [{"kind": "connection", "count": 3}],
            "ready": {"drop": 1, "push": ["1"]},
            "tasks": {"set": [{"id": "2", "state": "flushing"}, task("4", "idle")], "gone": [{"id": "3"}]},
            "timers": {"set": [timer("4", 11)], "gone": [timer("1", 5)]},
        });
        assert_eq!(changes, expected);
        let mut shown = before.clone();
        applied(&mut shown, &changes);
        assert_eq!(shown, after);
        let back = super::changes(&after, &before);
        assert_eq!(back["groups"], Value::Null);
        applied(&mut shown, &back);
        assert_eq!(shown, before);
        assert_eq!(super::changes(&before, &before), json!({}));
    }

    #[test]
    fn a_queue_that_is_another_one_is_told_anew() {
        let queue = |ready: &[&str]| look(ready, &json!([]), &json!([]));
        for (before, after) in [
            (&["1", "2"][..], &["3", "1", "2"][..]),
            (&["1", "2", "1"], &["1", "2", "1", "3"]),
            (&["1", "2", "1"], &["1"]),
            (&[], &["1"]),
            (&["1"], &[]),
        ] {
            let (before, after) = (queue(before), queue(after));
            let mut shown = before.clone();
            applied(&mut shown, &changes(&before, &after));
            assert_eq!(shown, after);
        }
    }
}
