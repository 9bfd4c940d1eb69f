//! Tests that need an environment of their own run themselves again, in a child process.

use std::ffi::OsStr;
use std::process::{Command, Output};

const MARK: &str = "SUITE_CHILD";

/// Whether this process is such a child.
pub fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs one test of this program in a child process with these variables and none of ours beside.
pub fn run<N: AsRef<OsStr>, V: AsRef<OsStr>>(
    test: &str,
    vars: impl IntoIterator<Item = (N, V)>,
) -> Output {
    let output = command(test)
        .envs(vars)
        .output()
        .expect("the suite can start itself");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{test} as a child: {}\n{stdout}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The command for that, to be changed further.
pub fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the suite is a file"));
    for (name, _) in std::env::vars_os() {
        let ours = name.to_string_lossy().to_ascii_uppercase();
        if ours.starts_with("OPTERYX_") || ours.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, "1");
    command
}
