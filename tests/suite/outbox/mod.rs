//! The outbox: what is stored is delivered, whatever stands in the way.

mod contexts;
mod delivery;
mod forked;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod full;
mod killed;
#[cfg(feature = "cloud-tasks")]
mod queue;
mod trouble;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use log::Level;
use opteryx_webhooks::outbox::{OutboxFile, OutboxStats};
use opteryx_webhooks::{Config, Event, Notifier, Outcome};
use tempfile::TempDir;

use crate::support::logged;

/// An outbox's file in a folder of its own, which goes with it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place {
            folder: tempfile::tempdir().expect("there is room for a folder"),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("webhooks.db")
    }

    /// A notifier with this outbox, for this domain and these further variables.
    pub fn notifier<'a>(
        &self,
        domain: &'a str,
        vars: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Notifier {
        Notifier::new(self.config(domain, vars))
    }

    pub fn config<'a>(
        &self,
        domain: &'a str,
        vars: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Config {
        let mut all: HashMap<&str, OsString> = HashMap::from([
            ("OPTERYX_WEBHOOK_DOMAIN", domain.into()),
            ("OPTERYX_WEBHOOK_OUTBOX", self.path().into()),
            // What is to be stored is stored, however long the machine's disk takes.
            ("OPTERYX_WEBHOOK_TIMEOUT", "120".into()),
        ]);
        let vars = vars.into_iter();
        all.extend(vars.map(|(name, value)| (name, OsString::from(value))));
        Config::from_vars(all).expect("the variables are right")
    }

    pub fn file(&self) -> OutboxFile {
        OutboxFile::open(self.path()).expect("it is an outbox")
    }
}

/// Announces the creation of a view of this name, which must be stored.
pub fn store(notifier: &Notifier, name: &str) {
    let outcome = notifier.notify(&Event::new("create", "view", "w", Some("c"), name));
    assert!(matches!(outcome, Outcome::Stored), "{outcome:?}");
}

/// The sums, which always add up.
pub fn stats(notifier: &Notifier) -> OutboxStats {
    let stats = notifier.stats().outbox.expect("the file can be read");
    assert_eq!(
        stats.accepted,
        stats.delivered + stats.pending + stats.dead,
        "{stats:?}"
    );
    stats
}

/// The errors among what was logged.
pub fn errors(lines: &[(Level, String)]) -> Vec<&str> {
    lines
        .iter()
        .filter(|(level, _)| *level == Level::Error)
        .map(|(_, line)| line.as_str())
        .collect()
}

/// The next event is stored, and it is said that the outbox works again.
pub fn works_again(notify: impl FnOnce() -> Outcome) {
    let (outcome, lines) = logged::while_running(notify);
    assert!(matches!(outcome, Outcome::Stored), "{outcome:?}");
    assert!(
        lines
            .iter()
            .any(|(level, line)| *level == Level::Warn && line.contains("works again")),
        "{lines:?}"
    );
}

/// The names of the views that these bodies announce, in order.
pub fn names(requests: &[crate::support::server::Request]) -> Vec<String> {
    let name = |request: &crate::support::server::Request| {
        let name = request.json()["event"]["resource_name"].clone();
        name.as_str().expect("a name is a string").to_owned()
    };
    requests.iter().map(name).collect()
}
