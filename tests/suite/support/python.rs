//! Python for the suites that need it: one virtual environment per requirements file, below the
//! target folder, made at first use and kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::install::{hash_of, stdout_of};

/// The interpreter of the environment that `tests/python/<requirements>` describes.
///
/// Safe to call from many tests and many test processes at once: the first installs, the others wait.
pub fn interpreter(requirements: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/python")
        .join(requirements);
    let wanted = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let version = stdout_of(
        Command::new("python3").args(["-c", "import sys; print(sys.version)"]),
        "Python 3 is needed: install it with `apt-get install python3 python3-venv` or from python.org",
    );
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("venv-{:016x}", hash_of(&(&wanted, &version))));
    let python = home.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });

    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let guard = File::create(home.with_extension("lock")).expect("a lock file can be made");
    guard.lock().expect("the lock can be taken");

    let complete = home.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&home);
        stdout_of(
            Command::new("python3").args(["-m", "venv"]).arg(&home),
            "the module venv is needed: install it with `apt-get install python3-venv`",
        );
        stdout_of(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--requirement"])
                .arg(&file),
            &format!("`pip install --requirement {}` must work", file.display()),
        );
        fs::write(&complete, "").expect("the environment can be marked complete");
    }
    python
}
