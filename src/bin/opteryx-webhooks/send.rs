//! `send`: a test event, or any other.

use std::io::Write;
use std::time::Instant;

use chrono::DateTime;
use clap::Args;
use opteryx_webhooks::{DeliveryError, Event, Notifier, Outcome, Road, Settings};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::data::Source;
use crate::environment::Environment;
use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::probe::milliseconds;
use crate::stored::Stored;
use crate::style::{ERROR, FAINT, PLAIN, WARNING, WELL};
use crate::table::{Cell, Table, on_one_line};

/// What a test event is about: nothing that a catalog would have.
const TEST_NAME: &str = "opteryx-webhooks-test";

/// The data of the test event, in the shape of a dataset's creation.
const TEST_DATA: &str = r#"{"location":null,"properties":{"note":"A test event, sent by hand. There is no such dataset."}}"#;

const AFTER_HELP: &str = "\
Examples:
  opteryx-webhooks send                                    a test event: dataset.create, and the names
                                                           say that it is a test
  opteryx-webhooks send --type view --name my-view --data view.json
  jq .data event.json | opteryx-webhooks send --action update --name my-dataset --data -
  opteryx-webhooks send --at 2026-01-31T12:00:00Z --json | jq -r .id

It goes where the environment says that events go: OPTERYX_WEBHOOK_DOMAIN, through
OPTERYX_WEBHOOK_QUEUE where that is set, signed with OPTERYX_WEBHOOK_SECRET. To a receiver it is an
event like any other. `opteryx-webhooks check` shows what the environment comes to.

Data is sent as it is read: in the order of its keys, with every digit of its numbers. A workspace's
own events, and a collection's, are named after it unless --name says otherwise.

With OPTERYX_WEBHOOK_OUTBOX it is stored in the file and delivered from there, by whichever process is
first to it; what came of the first attempt is waited for. While this tool waits it delivers what else is
due, too.

Exit codes: 0 it was delivered, or taken by the queue or the outbox; 1 it was not, or the first attempt
from the outbox failed, or the environment or the data is wrong; 2 the arguments are wrong.";

/// Send an event, a test event unless told otherwise, and say what came of it.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Send {
    /// What it is about: dataset, view, workspace, any other word
    #[arg(long = "type", value_name = "WORD", default_value = "dataset")]
    resource_type: String,

    /// What was done: create, update, delete, any other word
    #[arg(long, value_name = "WORD", default_value = "create")]
    action: String,

    /// Where it happened
    #[arg(long, value_name = "NAME", default_value = TEST_NAME)]
    workspace: String,

    /// Where in it [default: opteryx-webhooks-test; none for workspaces]
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,

    /// What it is called [default: opteryx-webhooks-test]
    #[arg(long)]
    name: Option<String>,

    /// A file with the event's data, in JSON; `-` is standard input
    #[arg(long, value_name = "FILE", value_parser = clap::value_parser!(std::ffi::OsString))]
    data: Option<std::ffi::OsString>,

    /// When: 2026-01-31T12:00:00Z, or ms since 1970 [default: now]
    #[arg(long, value_name = "TIME", value_parser = unix_ms, allow_negative_numbers = true)]
    at: Option<i64>,

    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// What came of it, for programs.
#[derive(Serialize)]
struct Report<'r> {
    ok: bool,
    /// `delivered`, `enqueued`, `stored`, `filtered` or `failed`.
    outcome: &'static str,
    id: Option<&'r str>,
    event: &'r str,
    url: Option<&'r str>,
    /// The receiver's answer.
    status: Option<u16>,
    /// The task's full name in its queue.
    task: Option<&'r str>,
    /// What has become of it in the outbox so far.
    stored: Option<&'r Stored>,
    error: Option<Reason>,
    milliseconds: f64,
}

#[derive(Serialize)]
struct Reason {
    reason: String,
    is_timeout: bool,
    is_retryable: bool,
    retry_after_seconds: Option<u64>,
}

impl Send {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Verdict, Failure> {
        let (notifier, settings) = notifier()?;
        let data = self.data()?;
        let name = self.name();
        let event = Event::new(
            self.action.as_str(),
            self.resource_type.as_str(),
            &self.workspace,
            self.collection(),
            name,
        )
        .with_data(data);
        let event = match self.at {
            Some(time) => event.at_unix_ms(time),
            None => event,
        };

        let started = Instant::now();
        let (outcome, id) = notifier.notify_with_id(&event);
        let stored = match (&outcome, &settings.outbox, &id) {
            (Outcome::Stored, Some(outbox), Some(id)) => {
                Some(Stored::wait(&outbox.path, id, settings.timeout)?)
            }
            _ => None,
        };
        let report = Report {
            ok: outcome.is_ok() && stored.as_ref().is_none_or(Stored::is_well),
            outcome: word(&outcome),
            id: id.as_deref(),
            event: &format!("{}.{}", self.resource_type, self.action),
            url: settings.url.as_deref(),
            status: status(&outcome),
            task: match &outcome {
                Outcome::Enqueued { task } => Some(task),
                _ => None,
            },
            stored: stored.as_ref(),
            error: outcome.error().map(Reason::of),
            milliseconds: milliseconds(started.elapsed()),
        };
        if self.json {
            output.json(&report)?;
        } else if outcome.is_ok() {
            self.write(output, &report, &settings, &outcome)?;
        } else {
            return Err(Failure(self.refusal(&report, &outcome)));
        }
        Ok(match report.ok {
            true => Verdict::Well,
            false => Verdict::Wrong,
        })
    }

    fn is_test(&self) -> bool {
        (self.resource_type.as_str(), self.action.as_str()) == ("dataset", "create")
    }

    fn data(&self) -> Result<Box<RawValue>, Failure> {
        if let Some(source) = &self.data {
            return Source::from(source.clone()).read();
        }
        let data = if self.is_test() { TEST_DATA } else { "{}" };
        serde_json::from_str(data).map_err(|error| Failure::new(error.to_string()))
    }

    /// As the reference has it: a workspace lies in no collection.
    fn collection(&self) -> Option<&str> {
        let default = Some(TEST_NAME).filter(|_| self.resource_type != "workspace");
        self.collection.as_deref().or(default)
    }

    /// A workspace's own events, and a collection's, are named after it.
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(match &*self.resource_type {
            "workspace" => &self.workspace,
            "collection" => self.collection().unwrap_or(TEST_NAME),
            _ => TEST_NAME,
        })
    }

    fn write(
        &self,
        output: &mut Output,
        report: &Report<'_>,
        settings: &Settings,
        outcome: &Outcome,
    ) -> Result<(), Failure> {
        let mut table = Table::headless();
        let mut row = |name, value, style| {
            table.row([Cell::new(name, FAINT), Cell::new(value, style)]);
        };
        let place = [Some(&*self.workspace), self.collection(), Some(self.name())];
        let place: Vec<_> = place.into_iter().flatten().collect();
        row(
            "event",
            format!("{} of {}", report.event, place.join("/")),
            PLAIN,
        );
        row("id", report.id.unwrap_or_default().to_owned(), PLAIN);
        let mut to = report.url.unwrap_or_default().to_owned();
        if let Road::Queue(queue) = &settings.road {
            to = format!("{to} through {}", queue.path);
        }
        row("to", to, PLAIN);
        row("outcome", outcome.to_string(), WELL);
        if let Some(stored) = report.stored {
            let style = if report.ok { WELL } else { ERROR };
            row("since", stored.to_string(), style);
        }
        row("took", format!("{} ms", report.milliseconds), PLAIN);
        Ok(table.write(output)?)
    }

    /// Why it went nowhere, in lines.
    fn refusal(&self, report: &Report<'_>, outcome: &Outcome) -> Vec<String> {
        let (event, milliseconds) = (on_one_line(report.event), report.milliseconds);
        let outcome = on_one_line(&outcome.to_string());
        let line = match report.id {
            Some(id) => format!("{event} {id} {outcome} ({milliseconds} ms)"),
            None => format!("{event} {outcome}; --type and --action make others"),
        };
        vec![line]
    }
}

impl Reason {
    fn of(error: &DeliveryError) -> Reason {
        Reason {
            reason: format!("{error:#}"),
            is_timeout: error.is_timeout(),
            is_retryable: error.is_retryable(),
            retry_after_seconds: error.retry_after().map(|wait| wait.as_secs()),
        }
    }
}

/// The notifier of this environment, which is not off. Warnings go to standard error.
fn notifier() -> Result<(Notifier, Settings), Failure> {
    let environment = Environment::read();
    let errors = environment.errors.iter();
    let errors: Vec<_> = errors
        .map(|error| on_one_line(&error.to_string()))
        .collect();
    let (Some(config), true) = (&environment.config, errors.is_empty()) else {
        return Err(Failure(errors));
    };
    let settings = config.settings();
    if settings.road == Road::Off {
        return Err(Failure::new(
            "OPTERYX_WEBHOOK_DOMAIN is not set, so the notifier is off; it says where events go, \
             such as `router.opteryx.app`",
        ));
    }
    let mut stderr = anstream::stderr();
    for warning in environment.warnings() {
        let warning = on_one_line(warning);
        let _ = writeln!(stderr, "{WARNING}warning:{WARNING:#} {warning}");
    }
    Ok((Notifier::new(config.clone()), settings))
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered { .. } => "delivered",
        Outcome::Enqueued { .. } => "enqueued",
        Outcome::Stored => "stored",
        Outcome::Filtered => "filtered",
        Outcome::Disabled => "disabled",
        _ => "failed",
    }
}

fn status(outcome: &Outcome) -> Option<u16> {
    match outcome {
        Outcome::Delivered { status } => Some(*status),
        _ => outcome.error().and_then(DeliveryError::status),
    }
}

/// RFC 3339, or the milliseconds themselves.
fn unix_ms(time: &str) -> Result<i64, String> {
    if let Ok(milliseconds) = time.parse() {
        return Ok(milliseconds);
    }
    match DateTime::parse_from_rfc3339(time) {
        Ok(time) => Ok(time.timestamp_millis()),
        Err(_) => {
            Err("must be a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970".into())
        }
    }
}
