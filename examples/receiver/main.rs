//! Receives webhooks at `POST /event` and prints what they say, as the sample Flask receiver does.
//!
//! `cargo run --example receiver`, then point `OPTERYX_WEBHOOK_DOMAIN` to `http://127.0.0.1:8080`.
//!
//! With the sender's `OPTERYX_WEBHOOK_SECRET` in its environment too, or the public key that belongs
//! to it, only what is signed is taken.

// By its path, so that its own modules are looked for beside it.
#[path = "receiver.rs"]
mod receiver;

use std::env::{self, VarError};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use opteryx_webhooks::ConfigError;
use opteryx_webhooks::receiver::Verifier;
use receiver::Receiver;

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

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
        (argument, None) => parse(argument.unwrap_or(DEFAULT_ADDRESS)),
        (_, Some(argument)) => Err(format!("unexpected argument: {argument}")),
    };
    let verifier = match verifier() {
        Ok(verifier) => verifier,
        Err(error) => {
            eprintln!("receiver: {error}");
            return ExitCode::FAILURE;
        }
    };
    match addresses {
        Ok(addresses) => status(run(&addresses, verifier)),
        Err(problem) => {
            eprint!("{problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(addresses: &[SocketAddr], verifier: Option<Verifier>) -> io::Result<()> {
    let mut receiver = Receiver::bind(addresses)?;
    receiver.verifier = verifier;
    eprintln!("Listening on http://{}", receiver.address);
    receiver.serve(io::stdout())
}

/// The verifier that the environment asks for: none unless it holds a secret.
fn verifier() -> Result<Option<Verifier>, ConfigError> {
    match env::var("OPTERYX_WEBHOOK_SECRET") {
        Err(VarError::NotPresent) => Ok(None),
        Ok(secret) if secret.trim().is_empty() => Ok(None),
        _ => Verifier::from_env().map(Some),
    }
}

/// The addresses that `host:port`, `:port` or `port` stand for.
fn parse(argument: &str) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = argument.rsplit_once(':').unwrap_or(("", argument));
    let host = match host.trim_matches(['[', ']']) {
        "" => DEFAULT_HOST,
        host => host,
    };
    let port: u16 = port
        .parse()
        .map_err(|error| format!("no address: {argument}: {error}"))?;
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("no address: {argument}: {error}"))?;
    Ok(addresses.collect())
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
