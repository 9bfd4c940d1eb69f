//! `outbox redeliver`

use std::io::Write;

use clap::Args;
use opteryx_webhooks::outbox::OutboxFile;
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::Output;

const AFTER_HELP: &str = "\
Examples:
  opteryx-webhooks outbox redeliver evt_0f5c1f3b6f0c4d2e9a7b8c6d5e4f3a2b
  opteryx-webhooks outbox redeliver --dead

The same event goes out once more, with the same id and body, and gets all its retries anew: a dead
letter, one that was delivered already, or at once one that waits for its next attempt. The service that
uses the file delivers it, within a second; this tool does not.";

/// Have events delivered once more
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Redeliver {
    /// Their ids
    #[arg(
        value_name = "ID",
        required_unless_present = "dead",
        conflicts_with = "dead"
    )]
    ids: Vec<String>,

    /// All dead letters
    #[arg(long)]
    dead: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    redelivered: u64,
    not_there: Vec<&'a str>,
}

impl Redeliver {
    pub(super) fn run(
        &self,
        file: &mut OutboxFile,
        json: bool,
        output: &mut Output,
    ) -> Result<Verdict, Failure> {
        let mut report = Report {
            redelivered: 0,
            not_there: Vec::new(),
        };
        if self.dead {
            report.redelivered = file.redeliver_dead()?;
        }
        for id in &self.ids {
            if file.redeliver(id)? {
                report.redelivered += 1;
            } else {
                report.not_there.push(id);
            }
        }
        if json {
            output.json(&report)?;
        } else {
            let plural = if report.redelivered == 1 { "" } else { "s" };
            writeln!(
                output,
                "{} event{plural} will be delivered once more.",
                report.redelivered
            )?;
        }
        match report.not_there.as_slice() {
            [] => Ok(Verdict::Well),
            _ if json => Ok(Verdict::Wrong),
            ids => Err(Failure(
                ids.iter().flat_map(|id| super::not_there(id).0).collect(),
            )),
        }
    }
}
