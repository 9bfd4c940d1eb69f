//! `receive`: the sample receiver.

// By their paths: it is the example's own, which lies in the package as well.
#[path = "../../../examples/receiver/listen.rs"]
mod listen;
#[path = "../../../examples/receiver/receiver.rs"]
mod receiver;

use std::net::SocketAddr;
use std::str::FromStr;

use clap::Args;

use crate::failure::{Failure, Verdict};

const AFTER_HELP: &str = "\
Examples:
  opteryx-webhooks receive                     at http://127.0.0.1:8080/event
  opteryx-webhooks receive 9000                at another port; 0 is any free one
  opteryx-webhooks receive 0.0.0.0:8080        for other machines, too

and in another terminal:
  OPTERYX_WEBHOOK_DOMAIN=http://127.0.0.1:8080 opteryx-webhooks send

It prints what the sample receiver of the Python package prints, and answers as it does: each event's
lines to standard output, each request to standard error. An event that comes twice is printed once.

With OPTERYX_WEBHOOK_SECRET set it takes only what is signed with it, or with the secret that belongs
to a public key (`whpk_…`), and answers 401 to the rest. Several are separated by spaces.

Exit codes: 1 it could not listen there, or OPTERYX_WEBHOOK_SECRET is wrong; 2 the arguments are
wrong. Otherwise it runs until it is ended.";

/// Receive events and print what they say: the sample receiver, to try things on.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Receive {
    /// Where to listen: host:port, or :port or port alone for 127.0.0.1.
    #[arg(default_value = listen::DEFAULT_ADDRESS)]
    address: Addresses,
}

/// What a host and port stand for.
#[derive(Clone)]
struct Addresses(Vec<SocketAddr>);

impl FromStr for Addresses {
    type Err = String;

    fn from_str(argument: &str) -> Result<Addresses, String> {
        listen::addresses(argument).map(Addresses)
    }
}

impl Receive {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let verifier = listen::verifier().map_err(|error| Failure::new(error.to_string()))?;
        match listen::run(&self.address.0, verifier) {
            Ok(()) => Ok(Verdict::Well),
            Err(error) => Err(Failure::new(format!("cannot listen: {error}"))),
        }
    }
}
