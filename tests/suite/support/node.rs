//! Node for the suites that need it: the packages of `tests/node/package-lock.json`, installed below
//! the target folder at first use and kept.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::install::{hash_of, once, stdout_of};

/// What is to be run for a script in `tests/node`, with its packages at hand.
pub fn script(name: &str) -> Command {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    let read = |file: &str| {
        let file = source.join(file);
        fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    };
    let (package, lock) = (read("package.json"), read("package-lock.json"));
    let version = stdout_of(
        Command::new("node").arg("--version"),
        "Node 20 or later is needed: install it with `apt-get install nodejs npm` or from nodejs.org",
    );
    let name_of_home = format!("node-{:016x}", hash_of(&(&package, &lock, &version)));
    let home = once(&name_of_home, |home| {
        fs::write(home.join("package.json"), &package).expect("the folder can be written");
        fs::write(home.join("package-lock.json"), &lock).expect("the folder can be written");
        // On Windows it is a script, which is found by its whole name alone.
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        stdout_of(
            Command::new(npm)
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(home),
            "`npm ci` must work: npm comes with Node, or with `apt-get install npm`",
        );
    });
    let mut command = Command::new("node");
    command
        .arg(source.join(name))
        .env("NODE_PATH", home.join("node_modules"));
    command
}
