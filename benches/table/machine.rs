//! What it was measured on, and with.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// In one paragraph.
pub fn conditions(rounds: usize) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    let mut parts = vec![
        format!("{cores} cores"),
        format!("{os} {architecture}"),
        first_words("rustc", &["--version"], 2),
        first_words("curl", &["--version"], 2),
        first_words("python3", &["--version"], 2),
    ];
    parts.extend(["ureq", "reqwest"].map(|name| format!("{name} {}", locked(name))));
    let requirements = include_str!("../../tests/python/requirements-reference.txt");
    let package = |line: &&str| line.starts_with("opteryx-catalog==");
    parts.extend(
        requirements
            .lines()
            .find(package)
            .map(|line| line.replace("==", " ")),
    );
    parts.retain(|part| !part.is_empty());
    format!(
        "Medians of {rounds} rounds on loopback: {}.",
        parts.join(", ")
    )
}

/// The beginning of what a program says of itself; nothing if it is not there.
fn first_words(program: &str, arguments: &[&str], words: usize) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    let words: Vec<_> = text.split_whitespace().take(words).collect();
    words.join(" ")
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let text = fs::read_to_string(file).unwrap_or_default();
    let head = format!("name = \"{name}\"\nversion = \"");
    let version = text
        .split_once(&head)
        .map(|(_, rest)| rest.split('"').next());
    version.flatten().unwrap_or_default().to_owned()
}
