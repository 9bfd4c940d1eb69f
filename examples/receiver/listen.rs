//! How the receiver is started as a program: by an argument and the environment.

use std::env::{self, VarError};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};

use opteryx_webhooks::ConfigError;
use opteryx_webhooks::receiver::Verifier;

use super::receiver::Receiver;

const DEFAULT_HOST: &str = "127.0.0.1";
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// Receives for as long as the program runs; says first where, on standard error.
pub(crate) fn run(addresses: &[SocketAddr], verifier: Option<Verifier>) -> io::Result<()> {
    let mut receiver = Receiver::bind(addresses)?;
    receiver.verifier = verifier;
    writeln!(io::stderr(), "Listening on http://{}", receiver.address)?;
    receiver.serve(io::stdout())
}

/// The verifier that the environment asks for: none unless it holds a secret.
pub(crate) fn verifier() -> Result<Option<Verifier>, ConfigError> {
    match env::var("OPTERYX_WEBHOOK_SECRET") {
        Err(VarError::NotPresent) => Ok(None),
        Ok(secret) if secret.trim().is_empty() => Ok(None),
        _ => Verifier::from_env().map(Some),
    }
}

/// The addresses that `host:port`, `:port` or `port` stand for.
pub(crate) fn addresses(argument: &str) -> Result<Vec<SocketAddr>, String> {
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
