//! `outbox prune`

use std::io::Write;

use clap::Args;
use opteryx_webhooks::outbox::{History, OutboxFile};
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::Output;

const AFTER_HELP: &str = "\
Examples:
  opteryx-webhooks outbox prune                       what is older than 30 days, or beyond 100000 attempts
  opteryx-webhooks outbox prune --keep 7d
  opteryx-webhooks outbox prune --keep '7d 5000' --dead

A service that uses the file does the same by itself, a little at a time, with OPTERYX_WEBHOOK_HISTORY.
Pending events are never forgotten. The file keeps its size, and has room for new events.";

/// Forget old attempts, and the delivered events that no attempt is left of
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Prune {
    /// What to keep: an age such as 30d, a number of attempts, or both
    #[arg(long, value_name = "HISTORY", default_value = "30d 100000")]
    keep: History,

    /// The dead letters as well, whatever their age
    #[arg(long)]
    dead: bool,
}

#[derive(Serialize)]
struct Report {
    attempts: u64,
    dead: u64,
}

impl Prune {
    pub(super) fn run(
        &self,
        file: &mut OutboxFile,
        json: bool,
        output: &mut Output,
    ) -> Result<Verdict, Failure> {
        let report = Report {
            attempts: file.prune(&self.keep)?,
            dead: if self.dead { file.forget_dead()? } else { 0 },
        };
        if json {
            output.json(&report)?;
        } else {
            let Report { attempts, dead } = report;
            writeln!(
                output,
                "{attempts} attempts and {dead} dead letters were forgotten."
            )?;
        }
        Ok(Verdict::Well)
    }
}
