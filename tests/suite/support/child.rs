//! Tests that need an environment of their own run themselves again, in a child process.

use std::ffi::{OsStr, OsString};
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
    run_behind(Vec::<OsString>::new(), test, vars)
}

/// The same, with the child's command line behind this one, which is to run it.
pub fn run_behind<A: AsRef<OsStr>, N: AsRef<OsStr>, V: AsRef<OsStr>>(
    before: impl IntoIterator<Item = A>,
    test: &str,
    vars: impl IntoIterator<Item = (N, V)>,
) -> Output {
    let command = command(test);
    let mut before = before.into_iter();
    let mut command = match before.next() {
        None => command,
        Some(program) => {
            let mut behind = without_our_variables(Command::new(program));
            behind.args(before);
            behind.arg(command.get_program()).args(command.get_args());
            behind.env(MARK, "1");
            behind
        }
    };
    let output = command
        .envs(vars)
        .output()
        .unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
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
    let program = std::env::current_exe().expect("the suite is a file");
    let mut command = without_our_variables(Command::new(program));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, "1");
    command
}

/// The command with none of the variables that a notifier or its logger would read.
pub fn without_our_variables(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        if upper.starts_with("OPTERYX_") || upper.ends_with("_PROXY") || upper == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}
