//! `outbox show`

use std::io::Write;

use clap::Args;
use opteryx_webhooks::outbox::{OutboxFile, StoredAttempt, StoredMessage};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{colour, kind, resource, state, time};
use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::style::{ERROR, FAINT, PLAIN, WELL};
use crate::table::{Cell, Table};

const AFTER_HELP: &str = "\
Examples:
  opteryx-webhooks outbox show evt_0f5c1f3b6f0c4d2e9a7b8c6d5e4f3a2b
  opteryx-webhooks outbox show evt_0f5c1f3b6f0c4d2e9a7b8c6d5e4f3a2b --json | jq .body.data

The body is in the JSON alone.";

/// Show an event, with every attempt to deliver it that is remembered
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Show {
    /// Its id, the header webhook-id
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    message: &'a StoredMessage,
    tried: &'a [StoredAttempt],
    body: Option<Box<RawValue>>,
}

impl Show {
    pub(super) fn run(
        &self,
        file: &OutboxFile,
        json: bool,
        output: &mut Output,
    ) -> Result<Verdict, Failure> {
        let Some(message) = file.message(&self.id)? else {
            return Err(super::not_there(&self.id));
        };
        let attempts = file.attempts(&self.id)?;
        if json {
            let body = file.body(&self.id)?;
            output.json(&Shown {
                message: &message,
                tried: &attempts,
                body: body.and_then(|body| serde_json::from_slice(&body).ok()),
            })?;
            return Ok(Verdict::Well);
        }
        let mut table = Table::headless();
        let mut row = |name, value: String, style| {
            table.row([Cell::new(name, FAINT), Cell::new(value, style)]);
        };
        row("id", message.id.clone(), PLAIN);
        row(
            "event",
            format!("{} of {}", kind(&message), resource(&message)),
            PLAIN,
        );
        row("accepted", time(message.accepted_at), PLAIN);
        row("state", state(&message), colour(&message));
        if let Some(settled_at) = message.settled_at {
            row("since", time(settled_at), PLAIN);
        }
        row("attempts", message.attempts.to_string(), PLAIN);
        table.write(output)?;
        if attempts.is_empty() {
            return Ok(Verdict::Well);
        }
        writeln!(output)?;
        let mut table = Table::with_head(["TRY", "AT", "TOOK", "STATUS", "RESULT", "ANSWER"]);
        for attempt in &attempts {
            let result = match &attempt.error {
                Some(error) => Cell::new(error, ERROR),
                None => Cell::new("taken", WELL),
            };
            table.row([
                attempt.number.to_string().into(),
                time(attempt.at).into(),
                format!("{} ms", attempt.duration_ms).into(),
                attempt
                    .status
                    .map_or(String::new(), |status| status.to_string())
                    .into(),
                result,
                excerpt(attempt.answer.as_deref().unwrap_or_default()).into(),
            ]);
        }
        table.write(output)?;
        Ok(Verdict::Well)
    }
}

/// As much of an answer as fits at the end of a line; the rest is in the JSON.
fn excerpt(answer: &str) -> String {
    const MAX_CHARACTERS: usize = 60;

    let answer = answer.trim();
    match answer.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &answer[..end]),
        None => answer.to_owned(),
    }
}
