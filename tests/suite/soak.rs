//! The soak, in short: `examples/soak` as anyone runs it, for a few seconds.

#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};

use crate::support::child::without_our_variables;
use crate::support::listening::example;

/// Runs it, and returns what it said.
fn soak(arguments: &[&str]) -> String {
    let output = without_our_variables(Command::new(example("soak")))
        .arg("8s")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it can be started");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{stderr}");
    assert!(
        said.ends_with("\nAll is flat, and every event is accounted for.\n"),
        "{said}"
    );
    said
}

/// The numbers of the line that begins so, in order.
fn numbers<const N: usize>(said: &str, start: &str) -> [u64; N] {
    let line = said.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("no {start} in {said}"));
    let numbers: Vec<u64> = line
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .take(N)
        .collect();
    numbers.try_into().expect("as many numbers")
}

#[test]
fn events_sent_directly_to_a_receiver_at_its_worst_are_all_accounted_for() {
    let said = soak(&[]);
    let [notified, delivered, stored, failed] = numbers(&said, "sums: ");
    assert_eq!(notified, delivered + failed, "{said}");
    assert_eq!(stored, 0, "{said}");
    assert!(delivered > 0 && failed > 0, "{said}");
    let [events, taken, dead, never_taken] = numbers(&said, "account: ");
    assert_eq!(events, notified, "{said}");
    assert_eq!(events, taken + never_taken, "{said}");
    assert_eq!(dead, 0, "{said}");
}

#[test]
fn events_stored_for_a_receiver_at_its_worst_are_all_accounted_for() {
    let said = soak(&["--outbox"]);
    let [notified, delivered, stored, failed] = numbers(&said, "sums: ");
    assert_eq!(notified, delivered + stored + failed, "{said}");
    assert!(stored > 0, "{said}");
    let [accepted, delivered, pending, dead] = numbers(&said, "outbox: ");
    assert_eq!((accepted, pending), (stored, 0), "{said}");
    assert_eq!(accepted, delivered + dead, "{said}");
    let [events, taken, dead, never_taken] = numbers(&said, "account: ");
    assert_eq!(events, notified, "{said}");
    assert_eq!(events, taken + dead + never_taken, "{said}");
}

#[test]
fn a_soak_with_a_wrong_argument_says_what_would_be_right() {
    for arguments in [&["soon"][..], &["1s"], &["8s", "--seed", "x"]] {
        let output = Command::new(example("soak"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("it can be started");
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("Usage: soak"), "{stderr}");
    }
}
