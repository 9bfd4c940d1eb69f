//! What is the same for every command: help, usage, colour, the log, and a reader that goes away.

use std::io::Read;
use std::process::Stdio;

use super::{End, nobody, tool, tool_for};
use crate::support::server::Server;

#[test]
fn help_teaches_with_examples_variables_and_exit_codes() {
    for arguments in [
        &["--help"][..],
        &["check", "--help"],
        &["send", "--help"],
        &["receive", "--help"],
        &["outbox", "--help"],
    ] {
        let end = End::of(&mut tool(arguments));
        assert_eq!((end.code, &*end.stderr), (Some(0), ""));
        for word in [
            "Examples:",
            "Exit codes:",
            "OPTERYX_WEBHOOK_",
            "Usage: opteryx-webhooks",
        ] {
            assert!(
                end.stdout.contains(word),
                "{arguments:?}: {word}: {}",
                end.stdout
            );
        }
        let widest = end.stdout.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(105), "{arguments:?}: {widest:?}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let end = End::of(&mut tool(&["--version"]));
    assert_eq!(end.code, Some(0));
    assert_eq!(
        end.stdout,
        format!("opteryx-webhooks {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_arguments_are_exit_code_2_and_said_on_standard_error() {
    for arguments in [
        &[][..],
        &["chek"],
        &["check", "--jsn"],
        &["send", "--data"],
        &["receive", "1", "2"],
    ] {
        let end = End::of(&mut tool(arguments));
        assert_eq!((end.code, &*end.stdout), (Some(2), ""), "{arguments:?}");
        assert!(end.stderr.contains("--help"), "{end:?}");
    }
    let end = End::of(&mut tool(&["chek"]));
    assert!(end.stderr.contains("'check'"), "{end:?}");
}

#[test]
fn colour_is_for_terminals_alone() {
    let receiver = Server::ok();
    let plain = End::of(&mut tool_for(&receiver.domain(), &["check"]));
    assert!(!plain.stdout.contains('\u{1b}'));
    let mut command = tool_for(&receiver.domain(), &["check"]);
    let coloured = End::of(command.env("CLICOLOR_FORCE", "1"));
    assert!(coloured.stdout.contains("\u{1b}["), "{coloured:?}");
    let mut command = tool_for(&receiver.domain(), &["check"]);
    let command = command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    assert!(!End::of(command).stdout.contains('\u{1b}'));
}

#[test]
fn the_log_is_off_unless_asked_for_and_shows_no_secret() {
    let receiver = Server::ok();
    let send = |arguments: &[&str], log: Option<&str>| {
        let mut command = tool_for(&receiver.domain(), arguments);
        command.env("OPTERYX_WEBHOOK_HEADERS", "authorization=hunter2");
        command.env("OPTERYX_WEBHOOK_SECRET", super::SECRET);
        End::of(command.envs(log.map(|log| ("RUST_LOG", log))))
    };
    assert_eq!(send(&["send"], None).stderr, "");
    for end in [
        send(&["send", "-v"], None),
        send(&["-v", "send"], None),
        send(&["send", "-vv"], None),
        send(&["send", "-vvv"], None),
        send(&["send"], Some("opteryx_webhooks=debug")),
    ] {
        assert_eq!(end.code, Some(0));
        assert!(end.stderr.contains("was delivered"), "{end:?}");
        assert!(!end.stderr.contains("hunter2") && !end.stderr.contains(&super::SECRET[6..]));
    }
}

#[test]
fn a_reader_that_goes_away_changes_nothing_but_the_output() {
    let receiver = Server::ok();
    let (alive, dead) = (receiver.domain(), nobody());
    for (domain, arguments, code) in [
        (&alive, &["check"][..], 0),
        (&dead, &["check"], 1),
        (&alive, &["check", "--json"], 0),
        (&alive, &["send"], 0),
        (&dead, &["send", "--json"], 1),
    ] {
        let mut command = tool_for(domain, arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Before it has written a byte: loading a program takes longer than that.
        drop(child.stdout.take());
        let code_is = child.wait().unwrap().code();
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!((code_is, &*stderr), (Some(code), ""), "{arguments:?}");
    }
    assert_eq!(receiver.requests().len(), 3);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = || {
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    for arguments in [["check", "--offline"], ["check", "--json"]] {
        let end = End::of(tool(&arguments).stdout(full()));
        assert_eq!(end.code, Some(1));
        assert!(
            end.stderr
                .starts_with("error: cannot write to standard output: "),
            "{end:?}"
        );
        assert_eq!(end.stderr.lines().count(), 1, "{end:?}");
    }
}
