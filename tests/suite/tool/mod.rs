//! The operator's tool, run as a program: arguments, output, exit codes.

mod check;
mod outbox;
mod receive;
mod send;
mod terminal;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::child::without_our_variables;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// The tool with none of the variables set that it reads, nor any that would trust or colour.
fn tool(arguments: &[&str]) -> Command {
    let mut command = without_our_variables(Command::new(env!("CARGO_BIN_EXE_opteryx-webhooks")));
    for variable in [
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CLOUD_TASKS_EMULATOR_HOST",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The same for a domain.
fn tool_for(domain: &str, arguments: &[&str]) -> Command {
    let mut command = tool(arguments);
    command.env("OPTERYX_WEBHOOK_DOMAIN", domain);
    command
}

/// How it ended, and what it said.
#[derive(Debug)]
struct End {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl End {
    fn of(command: &mut Command) -> End {
        let output = command.output().expect("the tool can be started");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let end = End {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!end.stderr.contains("panicked"), "{end:?}");
        end
    }

    /// The same with this on its standard input.
    fn with_input(command: &mut Command, input: &[u8]) -> End {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool can be started");
        let mut stdin = child.stdin.take().expect("it is piped");
        // It may have ended without reading.
        let _ = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        End {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The line of standard output that begins with this word.
    fn line(&self, start: &str) -> &str {
        let mut lines = self.stdout.lines();
        lines
            .find(|line| line.split_whitespace().next() == Some(start))
            .unwrap_or_else(|| panic!("no line for {start}: {self:?}"))
    }
}

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = crate::support::server::listener();
    format!("http://{}", listener.local_addr().expect("it has one"))
}

/// A receiver that answers every request with this status and these headers, each with its end.
fn answering(status: &'static str, headers: &'static str) -> crate::support::server::Server {
    crate::support::server::Server::start(move |mut connection| {
        while connection.request().is_some() {
            let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n");
            if connection.send(head).is_err() {
                return;
            }
        }
    })
}
