//! Python for the suites that need it: one virtual environment per requirements file, below the
//! target folder, made at first use and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::install::{hash_of, once, stdout_of};

/// The interpreter of the environment that `tests/python/<requirements>` describes.
pub fn interpreter(requirements: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/python")
        .join(requirements);
    let wanted = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let version = stdout_of(
        Command::new("python3").args(["-c", "import sys; print(sys.version)"]),
        "Python 3 is needed: install it with `apt-get install python3 python3-venv` or from python.org",
    );
    let interpreter = |home: &Path| {
        home.join(if cfg!(windows) {
            "Scripts/python.exe"
        } else {
            "bin/python"
        })
    };
    let name = format!("venv-{:016x}", hash_of(&(&wanted, &version)));
    let home = once(&name, |home| {
        stdout_of(
            Command::new("python3").args(["-m", "venv"]).arg(home),
            "the module venv is needed: install it with `apt-get install python3-venv`",
        );
        stdout_of(
            Command::new(interpreter(home))
                .args(["-m", "pip", "install", "--quiet", "--requirement"])
                .arg(&file),
            &format!("`pip install --requirement {}` must work", file.display()),
        );
    });
    interpreter(&home)
}
