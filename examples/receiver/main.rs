//! Receives webhooks at `POST /event` and prints what they say, as the sample Flask receiver does.
//!
//! `cargo run --example receiver`, then point `OPTERYX_WEBHOOK_DOMAIN` to `http://127.0.0.1:8080`.
//!
//! With the sender's `OPTERYX_WEBHOOK_SECRET` in its environment too, or the public key that belongs
//! to it, only what is signed is taken.

// By its path, so that its own modules are looked for beside it.
#[path = "receiver.rs"]
mod receiver;

mod listen;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use listen::DEFAULT_ADDRESS;

const USAGE: &str = "\
Usage: receiver [ADDRESS]

Receives webhooks at POST /event and prints what they say.

  ADDRESS     where to listen: 127.0.0.1:9000, or :9000 or 9000 for the same
              (default: 127.0.0.1:8080; port 0 is any free one)
  -h, --help  shows this

With OPTERYX_WEBHOOK_SECRET set, only what is signed with it is taken.
";

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();

    let mut arguments = env::args_os().skip(1).map(|argument| {
        // What is not UTF-8 is no address either, and is shown as far as it can be.
        argument.to_string_lossy().into_owned()
    });
    let argument = arguments.next();
    let addresses = match (argument.as_deref(), arguments.next()) {
        (Some("-h" | "--help"), None) => {
            return status(io::stdout().write_all(USAGE.as_bytes()));
        }
        (argument, None) => listen::addresses(argument.unwrap_or(DEFAULT_ADDRESS)),
        (_, Some(argument)) => Err(format!("unexpected argument: {argument}")),
    };
    let verifier = match listen::verifier() {
        Ok(verifier) => verifier,
        Err(error) => {
            eprintln!("receiver: {error}");
            return ExitCode::FAILURE;
        }
    };
    match addresses {
        Ok(addresses) => status(listen::run(&addresses, verifier)),
        Err(problem) => {
            eprint!("{problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn status(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("receiver: {error}");
            ExitCode::FAILURE
        }
    }
}
