//! What installing takes, whatever is installed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;

/// What a command prints, or a panic that says what to install.
pub fn stdout_of(command: &mut Command, remedy: &str) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}\n{remedy}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {}\n{}\n{remedy}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The same for equal values, within one build of the standard library.
pub fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
