//! The program curl: one process for each turn, and what it says itself that each event took.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use opteryx_webhooks::Message;

use crate::site::Site;
use crate::support::install::stdout_of;

const REMEDY: &str =
    "curl is needed: `apt-get install curl`, or `cargo bench -- queue outbox small`";

pub struct Curl {
    arguments: Vec<OsString>,
    events: usize,
    /// Keeps the server's side there.
    _site: Arc<Site>,
}

impl Curl {
    /// One that sends the message so many times in a turn.
    pub fn new(site: &Arc<Site>, message: &Message, events: usize) -> Curl {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let body = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("curl-{number}.json"));
        std::fs::write(&body, message.body()).unwrap();

        let mut arguments: Vec<OsString> = [
            "--disable",
            "--silent",
            "--show-error",
            "--fail",
            "--http1.1",
            "--noproxy",
            "*",
            "--write-out",
            "%{time_total}\n",
        ]
        .map(OsString::from)
        .into();
        if let Some(file) = &site.trust_file {
            arguments.extend(["--cacert".into(), file.into()]);
        }
        for (name, value) in message.headers() {
            arguments.extend(["--header".into(), format!("{name}: {value}").into()]);
        }
        let mut data = OsString::from("@");
        data.push(&body);
        arguments.extend(["--data-binary".into(), data]);
        // The first is not counted: it reads the certificates, and connects.
        for _ in 0..=events {
            arguments.extend([
                "--output".into(),
                "/dev/null".into(),
                OsString::from(&site.url),
            ]);
        }
        Curl {
            arguments,
            events,
            _site: Arc::clone(site),
        }
    }

    /// What each event took, in nanoseconds, by curl's own clock: without the program's start.
    pub fn run(&self) -> Vec<f64> {
        let output = stdout_of(Command::new("curl").args(&self.arguments), REMEDY);
        let seconds = |line: &str| line.parse::<f64>().expect("curl says how long it took");
        let times: Vec<_> = output.lines().skip(1).map(seconds).collect();
        assert_eq!(times.len(), self.events, "{output}");
        times.into_iter().map(|seconds| seconds * 1e9).collect()
    }
}
