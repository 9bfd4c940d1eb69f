//! `outbox`: what is in an outbox's file, and sending it again.

mod list;
mod prune;
mod redeliver;
mod show;
mod stats;

use std::path::PathBuf;

use anstyle::Style;
use chrono::{DateTime, SecondsFormat};
use clap::{Args, Subcommand};
use opteryx_webhooks::outbox::{OutboxError, OutboxFile, State, StoredMessage};

use crate::environment::Environment;
use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::style::{ERROR, PLAIN, WARNING, WELL};
use crate::table::on_one_line;

/// The variable that names the file.
const VARIABLE: &str = "OPTERYX_WEBHOOK_OUTBOX";

const AFTER_HELP: &str = "\
Examples:
  opteryx-webhooks outbox stats                       how many events came to what
  opteryx-webhooks outbox list --state dead           the dead letters, newest first
  opteryx-webhooks outbox show evt_0f5c1f3b…          one event, with every attempt to deliver it
  opteryx-webhooks outbox redeliver --dead            send all dead letters once more
  opteryx-webhooks outbox list --json | jq -r '.[].id'

The file is the one that OPTERYX_WEBHOOK_OUTBOX names, or --file. It may be in use by a running service:
that service, and not this tool, delivers what is to be redelivered, within a second.

Exit codes: 0 all right, 1 the file cannot be used or an event is not in it, 2 the arguments are wrong.";

/// Look into the outbox, and send again what is in it.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Outbox {
    #[command(subcommand)]
    command: Command,

    /// The outbox's file [default: what OPTERYX_WEBHOOK_OUTBOX names]
    #[arg(long, value_name = "PATH", global = true)]
    file: Option<PathBuf>,

    /// JSON instead of tables
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    List(list::List),
    Show(show::Show),
    Redeliver(redeliver::Redeliver),
    Stats(stats::Stats),
    Prune(prune::Prune),
}

impl Outbox {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Verdict, Failure> {
        let path = self.path()?;
        let mut file = OutboxFile::open(&path)?;
        match &self.command {
            Command::List(list) => list.run(&file, self.json, output),
            Command::Show(show) => show.run(&file, self.json, output),
            Command::Redeliver(redeliver) => redeliver.run(&mut file, self.json, output),
            Command::Stats(stats) => stats.run(&file, &path, self.json, output),
            Command::Prune(prune) => prune.run(&mut file, self.json, output),
        }
    }

    fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.file {
            return Ok(path.clone());
        }
        let environment = Environment::read();
        match environment.value(VARIABLE) {
            // As the notifier reads it, where it can.
            Some(value) => Ok(value
                .to_str()
                .map_or_else(|| PathBuf::from(value), |path| PathBuf::from(path.trim()))),
            None => Err(Failure::new(format!(
                "no file: {VARIABLE} is not set; --file names one, such as \
                 `--file /var/lib/catalog/webhooks.db`"
            ))),
        }
    }
}

impl From<OutboxError> for Failure {
    fn from(error: OutboxError) -> Failure {
        Failure::new(on_one_line(&format!("{error:#}")))
    }
}

fn not_there(id: &str) -> Failure {
    Failure::new(format!(
        "{} is not in the outbox; `outbox list` shows what is",
        on_one_line(id)
    ))
}

/// A time of the file's, to the second.
fn time(unix_ms: i64) -> String {
    DateTime::from_timestamp_millis(unix_ms).map_or_else(
        || unix_ms.to_string(),
        |time| time.to_rfc3339_opts(SecondsFormat::Secs, true),
    )
}

/// What an event is about: its resource's workspace, collection and name.
fn resource(message: &StoredMessage) -> String {
    let (source, subject) = (&message.source, &message.subject);
    let workspace = source.strip_prefix("/workspaces/").unwrap_or(source);
    match subject.is_empty() {
        true => workspace.to_owned(),
        false => format!("{workspace}/{subject}"),
    }
}

/// The kind of event, as `OPTERYX_WEBHOOK_EVENTS` writes it.
fn kind(message: &StoredMessage) -> &str {
    let event_type = &message.event_type;
    event_type
        .strip_prefix("app.opteryx.")
        .unwrap_or(event_type)
}

/// What has become of an event, in words.
fn state(message: &StoredMessage) -> String {
    match (message.state, message.due_at) {
        (State::Pending, _) if message.is_claimed => "being delivered".to_owned(),
        (State::Pending, Some(due_at)) if message.attempts > 0 => {
            format!("pending, next {}", time(due_at))
        }
        _ => message.state.as_str().to_owned(),
    }
}

fn colour(message: &StoredMessage) -> Style {
    match message.state {
        State::Delivered => WELL,
        State::Dead => ERROR,
        _ if message.last_error.is_some() => WARNING,
        _ => PLAIN,
    }
}
