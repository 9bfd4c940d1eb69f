//! `check`: what the environment means, what is wrong with it, and who answers.

use std::io::Write;
use std::path::Path;

use anstyle::Style;
use clap::Args;
use opteryx_webhooks::{ConfigError, Notifier, Road};
use serde::Serialize;

use crate::environment::Environment;
use crate::failure::{Failure, Verdict};
use crate::meaning::{Meaning, State, counted, meanings};
use crate::output::Output;
use crate::probe::{Grade, Probe};
use crate::style::{ERROR, FAINT, PLAIN, WARNING, WELL};
use crate::table::{Cell, Table, on_one_line};

const AFTER_HELP: &str = "\
Examples:
  opteryx-webhooks check                                        this environment
  (set -a; . ./catalog.env; opteryx-webhooks check --offline)   a file of variables, asking nobody
  opteryx-webhooks check --json | jq -r '.errors[].variable'    the names of those that are wrong

The variables are those of the notifier: OPTERYX_WEBHOOK_DOMAIN, _QUEUE, _TIMEOUT, _EVENTS, _SECRET,
_HEADERS and so on, and with them SSL_CERT_FILE, HTTPS_PROXY, NO_PROXY, CLOUD_TASKS_EMULATOR_HOST and
GOOGLE_APPLICATION_CREDENTIALS. Secrets, header values and passwords are never shown.

Who answers is asked without sending an event: a receiver gets HEAD of the event's URL, Cloud Tasks is
asked for the queue. Any status shows that a receiver is there; whether it takes events only an event
shows (`opteryx-webhooks send`).

Exit codes: 0 all right, or off because OPTERYX_WEBHOOK_DOMAIN is not set; 1 a variable is wrong, or
nobody answers, or the answer points elsewhere; 2 the arguments are wrong. Warnings leave it at 0.";

/// Show what the environment means, what is wrong with it, and whether the other end answers.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Check {
    /// Ask nobody, and look at the environment alone.
    #[arg(long, visible_alias = "no-network")]
    offline: bool,

    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'r> {
    ok: bool,
    /// `off`, `direct` or `queue`, with or without an outbox before it; none with an error, since the notifier is off then for that.
    road: Option<&'static str>,
    url: Option<&'r str>,
    /// The outbox's file.
    outbox: Option<&'r Path>,
    variables: &'r [Meaning],
    errors: Vec<Problem>,
    warnings: &'r [String],
    /// None if nobody was asked.
    probe: Option<&'r Probe>,
}

#[derive(Serialize)]
struct Problem {
    variable: String,
    problem: String,
}

impl Check {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Verdict, Failure> {
        let environment = Environment::read();
        let meanings = meanings(&environment);
        let settings = environment.config.as_ref().map(|config| config.settings());
        let url = settings
            .as_ref()
            .and_then(|settings| settings.url.as_deref());
        let errors = errors(&environment, &meanings);
        if !self.json {
            write_table(output, &meanings)?;
            write_problems(output, &environment, &meanings)?;
            // Before a wait that may be long.
            output.flush()?;
        }
        let probe = match &environment.config {
            // Without an outbox, whose thread would start to deliver.
            Some(_) if errors.is_empty() && !self.offline => environment
                .without(&["OPTERYX_WEBHOOK_OUTBOX"])
                .and_then(|config| Probe::make(&Notifier::new(config))),
            _ => None,
        };
        let is_well = errors.is_empty()
            && probe
                .as_ref()
                .is_none_or(|probe| probe.grade != Grade::Wrong);
        let road = settings.as_ref().map(|settings| &settings.road);
        let road = road.filter(|_| errors.is_empty());
        if self.json {
            output.json(&Report {
                ok: is_well,
                road: road.map(name),
                url: url.filter(|_| errors.is_empty()),
                outbox: settings
                    .as_ref()
                    .and_then(|settings| settings.outbox.as_ref())
                    .map(|outbox| outbox.path.as_path())
                    .filter(|_| errors.is_empty()),
                variables: &meanings,
                errors,
                warnings: environment.warnings(),
                probe: probe.as_ref(),
            })?;
        } else {
            writeln!(output)?;
            match (&probe, road) {
                (Some(probe), Some(road)) => write_probe(output, probe, &destination(road, url))?,
                (_, Some(Road::Off)) => writeln!(output, "The notifier is off.")?,
                (_, Some(_)) => writeln!(output, "Nobody was asked.")?,
                (_, None) => {
                    let count = counted(errors.len(), "error");
                    writeln!(output, "The notifier is off, for {count}.")?;
                }
            }
        }
        Ok(match is_well {
            true => Verdict::Well,
            false => Verdict::Wrong,
        })
    }
}

fn name(road: &Road) -> &'static str {
    match road {
        Road::Off => "off",
        Road::Queue(_) => "queue",
        _ => "direct",
    }
}

/// What the configuration finds wrong, and what the table does besides.
fn errors(environment: &Environment, meanings: &[Meaning]) -> Vec<Problem> {
    let of = |error: &ConfigError| {
        let line = error.to_string();
        let problem = line.split_once(": ").map_or(&*line, |(_, problem)| problem);
        Problem {
            variable: error.variable().to_owned(),
            problem: problem.to_owned(),
        }
    };
    let found = meanings.iter().filter(|meaning| {
        meaning.state == State::Wrong && environment.error(&meaning.variable).is_none()
    });
    let found = found.map(|meaning| Problem {
        variable: meaning.variable.clone(),
        problem: meaning.means.clone(),
    });
    environment.errors.iter().map(of).chain(found).collect()
}

fn write_table(output: &mut Output, meanings: &[Meaning]) -> Result<(), Failure> {
    let mut table = Table::with_head(["VARIABLE", "STATE", "MEANS"]);
    for meaning in meanings {
        let style = style(meaning.state);
        let text = match meaning.state {
            State::Unset | State::Unused => FAINT,
            _ => PLAIN,
        };
        table.row([
            Cell::new(&meaning.variable, text),
            Cell::new(meaning.state.as_str(), style),
            Cell::new(&meaning.means, text),
        ]);
    }
    Ok(table.write(output)?)
}

fn style(state: State) -> Style {
    match state {
        State::Set => WELL,
        State::Unset | State::Unused => FAINT,
        State::Unknown => WARNING,
        State::Wrong => ERROR,
    }
}

/// What the table does not say.
fn write_problems(
    output: &mut Output,
    environment: &Environment,
    meanings: &[Meaning],
) -> Result<(), Failure> {
    let has_row = |variable: &str| meanings.iter().any(|row| row.variable == variable);
    let mut lines = Vec::new();
    for error in &environment.errors {
        if !has_row(error.variable()) {
            lines.push(format!(
                "{ERROR}error:{ERROR:#} {}",
                on_one_line(&error.to_string())
            ));
        }
    }
    for warning in environment.warnings() {
        let is_shown = meanings.iter().any(|row| {
            row.state == State::Unknown && warning.starts_with(&format!("{} ", row.variable))
        });
        if !is_shown {
            lines.push(format!(
                "{WARNING}warning:{WARNING:#} {}",
                on_one_line(warning)
            ));
        }
    }
    if !lines.is_empty() {
        writeln!(output, "\n{}", lines.join("\n"))?;
    }
    Ok(())
}

/// Who was asked.
fn destination(road: &Road, url: Option<&str>) -> String {
    match road {
        Road::Queue(queue) => format!("{} at {}", queue.path, queue.service),
        _ => url.unwrap_or_default().to_owned(),
    }
}

fn write_probe(output: &mut Output, probe: &Probe, destination: &str) -> Result<(), Failure> {
    let (style, word) = match probe.grade {
        Grade::Well => (WELL, "ok:"),
        Grade::Warning => (WARNING, "warning:"),
        Grade::Wrong => (ERROR, "error:"),
    };
    let Probe {
        answer,
        milliseconds,
        ..
    } = probe;
    let answer = on_one_line(answer);
    writeln!(
        output,
        "{style}{word}{style:#} {destination}: {answer} ({milliseconds} ms)"
    )?;
    if let Some(hint) = &probe.hint {
        writeln!(output, "    {}", on_one_line(hint))?;
    }
    Ok(())
}
