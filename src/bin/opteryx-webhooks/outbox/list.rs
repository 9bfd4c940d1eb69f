//! `outbox list`

use std::io::Write;

use clap::{Args, ValueEnum};
use opteryx_webhooks::outbox::{OutboxFile, State};

use super::{colour, kind, resource, state, time};
use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::table::{Cell, Table};

const AFTER_HELP: &str = "\
Examples:
  opteryx-webhooks outbox list --state dead
  opteryx-webhooks outbox list --state pending --limit 1000 --json | jq -r '.[].last_error'

An event that is pending and has not been attempted waits for its turn: behind an earlier one of the
same resource, or for the worker. Times are UTC; in JSON they are Unix milliseconds.";

/// List events, newest first
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct List {
    /// Only those of which this has become
    #[arg(long)]
    state: Option<Which>,

    /// So many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Pending,
    Delivered,
    Dead,
}

impl List {
    pub(super) fn run(
        &self,
        file: &OutboxFile,
        json: bool,
        output: &mut Output,
    ) -> Result<Verdict, Failure> {
        let which = self.state.map(|which| match which {
            Which::Pending => State::Pending,
            Which::Delivered => State::Delivered,
            Which::Dead => State::Dead,
        });
        let messages = file.messages(which, self.limit)?;
        if json {
            output.json(&messages)?;
            return Ok(Verdict::Well);
        }
        if messages.is_empty() {
            writeln!(output, "There are none.")?;
            return Ok(Verdict::Well);
        }
        let mut table = Table::with_head([
            "ACCEPTED",
            "ID",
            "EVENT",
            "RESOURCE",
            "TRIED",
            "STATE",
            "LAST ERROR",
        ]);
        for message in &messages {
            table.row([
                time(message.accepted_at).into(),
                message.id.as_str().into(),
                kind(message).into(),
                resource(message).into(),
                message.attempts.to_string().into(),
                Cell::new(state(message), colour(message)),
                message.last_error.as_deref().unwrap_or_default().into(),
            ]);
        }
        table.write(output)?;
        Ok(Verdict::Well)
    }
}
