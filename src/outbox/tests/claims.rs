//! Claims, and whose turn it is, when something has gone wrong in between.

use std::time::Duration;

use super::super::history::latest_due;
use super::super::store::{Attempt, Claim, Next, Purpose, Round, Store};
use crate::message::Parts;

/// When it begins, in Unix milliseconds.
const START: i64 = 1_800_000_000_000;

const LEASE: Duration = Duration::from_secs(10);

/// Longer than a claim lasts, in milliseconds.
const LATER: i64 = 60_000;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let store = Store::open(&folder.path().join("db"), Purpose::Deliver).expect("it opens");
    (folder, store)
}

fn bring(store: &Store, id: &str, now: i64) {
    let parts = Parts {
        id,
        event_type: "app.opteryx.view.create",
        source: "/workspaces/w",
        subject: Some("c/v"),
        time: None,
    };
    store.accept(parts, b"{}", now).expect("it is stored");
}

fn round(
    store: &mut Store,
    worker: &str,
    now: i64,
    attempts: &[Attempt],
    underway: &[i64],
) -> Vec<Claim> {
    let round = Round {
        worker,
        now: now * 1_000,
        lease: LEASE,
        attempts,
        underway,
        wanted: 4,
        rate: None,
    };
    store.round(&round).expect("the disk is well").claims
}

fn delivered(claim: &Claim, at: i64) -> Attempt {
    Attempt {
        seq: claim.seq,
        at,
        duration: Duration::ZERO,
        status: Some(200),
        error: None,
        answer: None,
        next: Next::Delivered,
    }
}

#[test]
fn a_claim_that_its_worker_never_heard_of_is_granted_to_it_again() {
    let (_folder, mut store) = store();
    bring(&store, "evt_1", START);
    // Committed, and then taken for failed: its disk was full before SQLite's index of the log had
    // grown, say.
    let lost = round(&mut store, "one", START, &[], &[]);
    assert_eq!(lost.len(), 1);
    let again = round(&mut store, "one", START + LATER, &[], &[]);
    assert_eq!(again.len(), 1, "it is due for ever, and nobody gets it");
}

#[test]
fn what_a_worker_still_has_under_way_is_not_granted_to_it_once_more() {
    let (_folder, mut store) = store();
    bring(&store, "evt_1", START);
    let claims = round(&mut store, "one", START, &[], &[]);
    // Stopped for a while, it loses the claim to another process, which then dies.
    assert_eq!(round(&mut store, "two", START + LATER, &[], &[]).len(), 1);
    let now = START + 2 * LATER;
    let again = round(&mut store, "one", now, &[], &[claims[0].seq]);
    assert_eq!(again.len(), 0, "twice at a time");
    // What came of it is put down, and it is still to be delivered under the other's claim.
    let again = round(&mut store, "one", now, &[delivered(&claims[0], now)], &[]);
    assert_eq!(again.len(), 1);
}

#[test]
fn a_clock_that_was_far_ahead_holds_up_no_message_of_a_resource() {
    let (_folder, mut store) = store();
    let ahead = START + 365 * 24 * 60 * LATER;
    bring(&store, "evt_1", ahead);
    bring(&store, "evt_2", ahead);
    store
        .forgive_the_clock(START, latest_due(START))
        .expect("the disk is well");
    let first = round(&mut store, "one", START, &[], &[]);
    assert_eq!(first.len(), 1);
    let second = round(
        &mut store,
        "one",
        START,
        &[delivered(&first[0], START)],
        &[],
    );
    assert_eq!(second.len(), 1, "the second waits for a year");
}
