//! The operator's tool: looks at an environment and into an outbox, sends an event, receives some.
//!
//! Results go to standard output, what is wrong to standard error. Each command is a file, and so is
//! each thing that they share.

mod check;
mod data;
mod environment;
mod failure;
mod meaning;
mod outbox;
mod output;
mod probe;
mod receive;
mod send;
mod stored;
mod style;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use env_logger::{Env, Target};

use failure::{Failure, Verdict};
use output::Output;
use style::ERROR;

const AFTER_HELP: &str = "\
Examples:
  opteryx-webhooks check                       what the environment comes to, and who answers
  opteryx-webhooks send                        a test event, to where events go
  opteryx-webhooks receive 8080                a receiver to try them on
  opteryx-webhooks outbox stats                what has become of the events in the outbox
  opteryx-webhooks check --json | jq .errors   the same for programs

The environment is the catalog's own: OPTERYX_WEBHOOK_DOMAIN says where events go, and README has
the table of all variables. `opteryx-webhooks help COMMAND` says more of each command.

Exit codes: 0 all right, 1 something is wrong, 2 the arguments are.
RUST_LOG, as env_logger reads it, or -v turns on the log, which shows no secret, header value or body.
Colour is for terminals alone, and NO_COLOR turns it off.";

/// Looks after the webhooks of a data catalog: what its environment means, whether events arrive.
#[derive(Parser)]
#[command(name = "opteryx-webhooks", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Log what is done to standard error; twice: what the libraries below do, too
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 100)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Check),
    Send(send::Send),
    Receive(receive::Receive),
    Outbox(outbox::Outbox),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(&arguments);
    let mut output = Output::stdout();
    let result = match &arguments.command {
        Command::Check(check) => check.run(&mut output),
        Command::Send(send) => send.run(&mut output),
        Command::Receive(receive) => receive.run(),
        Command::Outbox(outbox) => outbox.run(&mut output),
    };
    let result = result.and_then(|verdict| {
        output.flush()?;
        Ok(verdict)
    });
    match result {
        Ok(Verdict::Well) => ExitCode::SUCCESS,
        Ok(Verdict::Wrong) => ExitCode::FAILURE,
        Err(Failure(lines)) => {
            let mut stderr = anstream::stderr();
            for line in lines {
                // Who has closed it does not want to know.
                let _ = writeln!(stderr, "{ERROR}error:{ERROR:#} {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The commands say themselves what the library would log as a warning or an error.
fn start_log(arguments: &Arguments) {
    let silent = match arguments.command {
        Command::Receive(_) => "info",
        _ => "warn,opteryx_webhooks=off",
    };
    let mut builder = match arguments.verbose {
        0 => env_logger::Builder::from_env(Env::default().default_filter_or(silent)),
        // ureq and its kin show headers at `trace`, so there is no third step.
        1 => with_filter("warn,opteryx_webhooks=debug"),
        _ => with_filter("debug"),
    };
    builder.target(Target::Stderr).init();
}

fn with_filter(filter: &str) -> env_logger::Builder {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter);
    builder
}
