//! `outbox stats`

use std::path::Path;

use clap::Args;
use opteryx_webhooks::outbox::OutboxFile;

use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::style::{ERROR, FAINT, PLAIN, WARNING, WELL};
use crate::table::{Cell, Table, on_one_line};

const AFTER_HELP: &str = "\
accepted = delivered + pending + dead, always, over all processes and since the file was made. What has
been forgotten since is still counted.

Example:
  [ \"$(opteryx-webhooks outbox stats --json | jq .dead)\" = 0 ] || echo 'there are dead letters'";

/// How many events came to what
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Stats {}

impl Stats {
    pub(super) fn run(
        &self,
        file: &OutboxFile,
        path: &Path,
        json: bool,
        output: &mut Output,
    ) -> Result<Verdict, Failure> {
        let stats = file.stats()?;
        if json {
            output.json(&stats)?;
            return Ok(Verdict::Well);
        }
        let mut table = Table::headless();
        let mut row = |name, value: String, style| {
            table.row([Cell::new(name, FAINT), Cell::new(value, style)]);
        };
        let unless_zero = |count, style| if count == 0 { PLAIN } else { style };
        row("file", on_one_line(&path.to_string_lossy()), PLAIN);
        row("accepted", stats.accepted.to_string(), PLAIN);
        row(
            "delivered",
            stats.delivered.to_string(),
            unless_zero(stats.delivered, WELL),
        );
        row(
            "pending",
            stats.pending.to_string(),
            unless_zero(stats.pending, WARNING),
        );
        row(
            "dead",
            stats.dead.to_string(),
            unless_zero(stats.dead, ERROR),
        );
        table.write(output)?;
        Ok(Verdict::Well)
    }
}
