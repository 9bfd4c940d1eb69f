//! What installing takes, whatever is installed.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of this name below the target folder, filled by `install` if no earlier call has.
///
/// Safe to call from many tests and many test processes at once: the first installs, the others wait.
pub fn once(name: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let guard = File::create(home.with_extension("lock")).expect("a lock file can be made");
    guard.lock().expect("the lock can be taken");

    let complete = home.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&home);
        fs::create_dir(&home).expect("the folder can be made");
        install(&home);
        fs::write(&complete, "").expect("the folder can be marked complete");
    }
    home
}

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
