//! The store, on disks that crash, and by a clock that runs as fast as it can.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "../../../tests/suite/support/child.rs"]
#[allow(dead_code, unreachable_pub)]
mod child;
mod claims;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod crashes;
mod day;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[path = "../../../tests/suite/support/disk/mod.rs"]
mod disk;

use super::store::Store;

/// The number that a query counts.
fn count(store: &Store, sql: &str) -> u64 {
    store
        .ask(|connection| connection.query_row(sql, [], |row| row.get(0)))
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}

/// What no message may be.
const WRONG: [(&str, &str); 7] = [
    ("settled, and first", "is_first AND state <> 'pending'"),
    (
        "settled, and claimed",
        "claimed_by IS NOT NULL AND state <> 'pending'",
    ),
    (
        "settled, and due",
        "due_at IS NOT NULL AND state <> 'pending'",
    ),
    (
        "pending, and never due",
        "due_at IS NULL AND state = 'pending'",
    ),
    (
        "claimed, and not first",
        "claimed_by IS NOT NULL AND NOT is_first",
    ),
    (
        "settled without an hour",
        "settled_at IS NULL AND state <> 'pending'",
    ),
    (
        "of a resource that waits for nothing, or for two",
        "state = 'pending' AND (
             SELECT total(other.is_first) FROM webhook_message AS other
             WHERE other.source = webhook_message.source
                 AND other.subject = webhook_message.subject AND other.state = 'pending'
         ) <> 1",
    ),
];

/// What is wrong with the file, whatever was done to it: nothing, if the store is in order.
fn disorder(store: &Store) -> Vec<String> {
    let integrity: String = store
        .ask(|connection| connection.pragma_query_value(None, "integrity_check", |row| row.get(0)))
        .unwrap_or_else(|e| format!("{e:?}"));
    if integrity != "ok" {
        return vec![integrity];
    }
    let mut wrong = Vec::new();
    let stats = store.stats().unwrap_or_default();
    if stats.accepted != stats.delivered + stats.pending + stats.dead {
        wrong.push(format!("{stats:?} does not add up"));
    }
    let states = ["delivered", "pending", "dead"].map(|state| format!("state = '{state}'"));
    let conditions = states
        .iter()
        .map(String::as_str)
        .chain(WRONG.into_iter().map(|(_, condition)| condition));
    let counted: Vec<u64> = counts(store, conditions);
    let (states, found) = counted.split_at(states.len());
    // Only what was delivered is forgotten, and then it stays counted.
    if states[0] > stats.delivered || states[1..] != [stats.pending, stats.dead] {
        wrong.push(format!(
            "{stats:?}, but there are {states:?} delivered, pending and dead"
        ));
    }
    for ((what, _), found) in WRONG.into_iter().zip(found) {
        if *found > 0 {
            wrong.push(format!("{found} messages are {what}"));
        }
    }
    wrong
}

/// How many messages there are that meet each of these conditions.
fn counts<'a>(store: &Store, conditions: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let columns: Vec<String> = conditions
        .map(|condition| format!("count(*) FILTER (WHERE {condition})"))
        .collect();
    let sql = format!("SELECT {} FROM webhook_message", columns.join(", "));
    store
        .ask(|connection| {
            connection.query_row(&sql, [], |row| {
                (0..columns.len()).map(|column| row.get(column)).collect()
            })
        })
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}
