//! What each variable comes to, in words, and never a value that could be secret.

use std::path::Path;
use std::time::Duration;

use opteryx_webhooks::outbox::OutboxFile;
use opteryx_webhooks::{CaCertificates, Config, ProxySettings, QueueSettings, Road, Settings};
use serde::Serialize;

use crate::environment::Environment;

const PREFIX: &str = "OPTERYX_WEBHOOK_";
const DOMAIN: &str = "OPTERYX_WEBHOOK_DOMAIN";
const QUEUE: &str = "OPTERYX_WEBHOOK_QUEUE";
const ACCOUNT: &str = "OPTERYX_WEBHOOK_OIDC_SERVICE_ACCOUNT";
const AUDIENCE: &str = "OPTERYX_WEBHOOK_OIDC_AUDIENCE";
const TIMEOUT: &str = "OPTERYX_WEBHOOK_TIMEOUT";
const EVENTS: &str = "OPTERYX_WEBHOOK_EVENTS";
const SECRET: &str = "OPTERYX_WEBHOOK_SECRET";
const HEADERS: &str = "OPTERYX_WEBHOOK_HEADERS";
const OUTBOX: &str = "OPTERYX_WEBHOOK_OUTBOX";
const RETRY: &str = "OPTERYX_WEBHOOK_RETRY";
const RATE: &str = "OPTERYX_WEBHOOK_RATE";
const HISTORY: &str = "OPTERYX_WEBHOOK_HISTORY";
const EMULATOR: &str = "CLOUD_TASKS_EMULATOR_HOST";
const OVERRIDE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS";
const CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const CA_FILE: &str = "SSL_CERT_FILE";
const CA_DIR: &str = "SSL_CERT_DIR";
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];
const PROXIES: [&str; 6] = [
    "https_proxy",
    "HTTPS_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// One line of the table.
#[derive(Serialize)]
pub(crate) struct Meaning {
    pub(crate) variable: String,
    pub(crate) state: State,
    pub(crate) means: String,
}

/// How a variable stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Set,
    Unset,
    /// Set, and it makes no difference.
    Unused,
    /// Set, and no variable of ours.
    Unknown,
    Wrong,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Set => "set",
            State::Unset => "unset",
            State::Unused => "unused",
            State::Unknown => "unknown",
            State::Wrong => "wrong",
        }
    }
}

/// Every variable that is set and read, and those that are not and yet decide something.
pub(crate) fn meanings(environment: &Environment) -> Vec<Meaning> {
    let Some(config) = &environment.config else {
        return Vec::new();
    };
    let settings = config.settings();
    let mut table = Meanings {
        environment,
        settings: &settings,
        rows: Vec::new(),
    };
    table.road();
    table.message();
    table.outbox();
    table.unfamiliar();
    table.service();
    table.proxies();
    table.certificates(config);
    table.rows
}

struct Meanings<'e> {
    environment: &'e Environment,
    settings: &'e Settings,
    rows: Vec<Meaning>,
}

impl Meanings<'_> {
    fn push(&mut self, variable: &str, state: State, means: impl Into<String>) {
        self.rows.push(Meaning {
            variable: variable.to_owned(),
            state,
            means: means.into(),
        });
    }

    /// A variable of which it is known what it comes to, set or not.
    fn row(&mut self, variable: &str, means: impl Into<String>) {
        if self.is_amiss(variable) {
            return;
        }
        match self.environment.is_set(variable) {
            true => self.push(variable, State::Set, means),
            false => self.push(variable, State::Unset, means),
        }
    }

    /// A variable that makes no difference, if it is set.
    fn unused(&mut self, variable: &str, why: &str) {
        if !self.is_amiss(variable) && self.environment.is_set(variable) {
            self.push(variable, State::Unused, why);
        }
    }

    /// Says what is wrong with a variable, if anything is.
    fn is_amiss(&mut self, variable: &str) -> bool {
        let Some(error) = self.environment.error(variable) else {
            return false;
        };
        let line = error.to_string();
        let problem = line.split_once(": ").map_or(&*line, |(_, problem)| problem);
        self.push(variable, State::Wrong, problem);
        true
    }

    /// Whether the domain is what is missing.
    fn is_off(&self) -> bool {
        self.settings.road == Road::Off
    }

    fn road(&mut self) {
        let url = self.settings.url.as_deref().unwrap_or_default();
        match &self.settings.road {
            Road::Off => {
                self.row(DOMAIN, "the notifier is off, and no event goes anywhere");
                for variable in [QUEUE, ACCOUNT, AUDIENCE] {
                    self.unused(variable, "nothing without OPTERYX_WEBHOOK_DOMAIN");
                }
            }
            Road::Queue(queue) => {
                self.row(DOMAIN, format!("the queue posts events to {url}"));
                self.row(QUEUE, format!("events go into {}", queue.path));
                self.token(queue);
            }
            _ => {
                self.row(DOMAIN, format!("events are posted to {url}"));
                self.row(QUEUE, "no queue: the notifier itself posts each event");
                for variable in [ACCOUNT, AUDIENCE] {
                    self.unused(variable, "nothing without OPTERYX_WEBHOOK_QUEUE");
                }
            }
        }
    }

    fn token(&mut self, queue: &QueueSettings) {
        match &queue.oidc_service_account {
            Some(account) => self.row(ACCOUNT, format!("with an OIDC token of {account}")),
            None => self.row(ACCOUNT, "without an OIDC token"),
        }
        match &queue.oidc_audience {
            // It may be any text at all, and so a secret in the wrong place.
            Some(audience) if is_url(audience) => {
                self.row(AUDIENCE, format!("the token is for {audience}"));
            }
            Some(_) => self.row(
                AUDIENCE,
                "the token is for what it says, which is no URL and so not shown",
            ),
            None if queue.oidc_service_account.is_some() => {
                self.row(
                    AUDIENCE,
                    "the token is for the URL that events are posted to",
                );
            }
            None => self.unused(AUDIENCE, "nothing without a service account"),
        }
    }

    /// What is sent, and how it looks.
    fn message(&mut self) {
        if self.is_off() {
            for variable in [TIMEOUT, EVENTS, SECRET, HEADERS] {
                self.unused(variable, "nothing without OPTERYX_WEBHOOK_DOMAIN");
            }
            return;
        }
        let Settings {
            timeout,
            events,
            secrets,
            headers,
            ..
        } = self.settings;
        self.row(
            TIMEOUT,
            format!("one event may take {} s in all", timeout.as_secs_f64()),
        );
        self.row(
            EVENTS,
            match events.is_empty() {
                true => "all events are sent".to_owned(),
                false => format!("only these are sent: {}", events.join(" ")),
            },
        );
        self.row(SECRET, signed(secrets));
        self.row(
            HEADERS,
            match headers.is_empty() {
                true => "no further headers".to_owned(),
                false => format!(
                    "{} (values not shown): {}",
                    counted(headers.len(), "further header"),
                    headers.join(", ")
                ),
            },
        );
    }

    /// Where events wait.
    fn outbox(&mut self) {
        if self.is_off() {
            for variable in [OUTBOX, RETRY, RATE, HISTORY] {
                self.unused(variable, "nothing without OPTERYX_WEBHOOK_DOMAIN");
            }
            return;
        }
        let Some(outbox) = &self.settings.outbox else {
            let taken = match self.settings.road {
                Road::Queue(_) => "that the queue does not take",
                _ => "that is not delivered",
            };
            let means = format!("no outbox: an event {taken} at once is gone");
            self.row(OUTBOX, means);
            for variable in [RETRY, RATE, HISTORY] {
                self.unused(variable, "nothing without OPTERYX_WEBHOOK_OUTBOX");
            }
            return;
        };
        match waiting(&outbox.path) {
            Ok(waiting) => self.row(
                OUTBOX,
                format!(
                    "events are first stored in {}: {waiting}",
                    outbox.path.display()
                ),
            ),
            Err(problem) => self.push(OUTBOX, State::Wrong, problem),
        }
        let delays: Vec<_> = outbox.retry.iter().copied().map(in_units).collect();
        self.row(
            RETRY,
            format!(
                "up to {} attempts, {} apart",
                outbox.retry.len() + 1,
                delays.join(" ")
            ),
        );
        self.row(
            RATE,
            match outbox.rate {
                Some(rate) => format!("{} deliveries a second at most", (rate * 1e5).round() / 1e5),
                None => "as many deliveries a second as may be".to_owned(),
            },
        );
        self.row(
            HISTORY,
            format!(
                "attempts are remembered for {}, and {} at most",
                in_units(outbox.history.age),
                outbox.history.attempts
            ),
        );
    }

    /// Variables with our prefix that are none of those above: misspelt, or of another version.
    fn unfamiliar(&mut self) {
        const FAMILIAR: [&str; 12] = [
            DOMAIN, QUEUE, ACCOUNT, AUDIENCE, TIMEOUT, EVENTS, SECRET, HEADERS, OUTBOX, RETRY,
            RATE, HISTORY,
        ];
        let environment = self.environment;
        let mut names: Vec<&str> = environment.names().filter(|name| is_ours(name)).collect();
        names.sort_unstable();
        for name in names {
            if FAMILIAR.contains(&name) || self.is_amiss(name) {
                continue;
            }
            let said = |warning: &&String| warning.starts_with(&format!("{name} is no variable"));
            match environment.warnings().iter().find(said) {
                Some(warning) => {
                    let means = warning.strip_prefix(name).unwrap_or(warning).trim_start();
                    self.push(name, State::Unknown, means);
                }
                None => self.push(name, State::Set, "the notifier reads it"),
            }
        }
    }

    /// Where Cloud Tasks is, and how it knows us.
    fn service(&mut self) {
        let Road::Queue(queue) = &self.settings.road else {
            for variable in [EMULATOR, OVERRIDE] {
                self.unused(variable, "nothing without a queue");
            }
            return;
        };
        let service = &queue.service;
        if queue.is_emulator {
            self.row(
                EMULATOR,
                format!("the queue is at {service}, in plain text and without credentials"),
            );
            self.unused(OVERRIDE, "nothing beside CLOUD_TASKS_EMULATOR_HOST");
            return;
        }
        // Wrong, perhaps.
        self.unused(EMULATOR, "nothing");
        self.row(OVERRIDE, format!("the queue is at {service}"));
        match self.environment.value(CREDENTIALS).map(Path::new) {
            None => self.row(
                CREDENTIALS,
                "Google's library looks for gcloud's credentials, then for the machine's",
            ),
            Some(file) if file.is_file() => {
                self.row(
                    CREDENTIALS,
                    "Google's library reads credentials from the file",
                );
            }
            // Not by its name, which may be a key that someone put there.
            Some(_) => self.push(
                CREDENTIALS,
                State::Wrong,
                "names no file, so that Google's library finds no credentials",
            ),
        }
    }

    fn proxies(&mut self) {
        let other_end = match (&self.settings.road, &self.settings.url) {
            (Road::Queue(_), _) => "Cloud Tasks",
            _ => "the receiver",
        };
        for variable in PROXIES {
            match &self.settings.proxy {
                Some(proxy) if proxy.variable == variable => {
                    self.row(variable, through(proxy, other_end));
                }
                Some(proxy) => {
                    self.unused(variable, &format!("nothing beside {}", proxy.variable));
                }
                None if self.is_off() => self.unused(variable, "nothing while there are no events"),
                None => self.unused(variable, &format!("not on the way to {other_end}")),
            }
        }
        for variable in EXCEPTIONS {
            let without = self.environment.without(&[variable]);
            match without.and_then(|config| config.settings().proxy) {
                Some(proxy) if self.settings.proxy.is_none() => {
                    let means = format!("{other_end} is reached without {}", proxy.variable);
                    self.row(variable, means);
                }
                _ => self.unused(variable, &format!("does not concern {other_end}")),
            }
        }
    }

    fn certificates(&mut self, config: &Config) {
        let (variable, from) = match &self.settings.ca_certificates {
            CaCertificates::System => (CA_FILE, "of the system".to_owned()),
            CaCertificates::Paths(paths) => {
                let is_file = self.environment.is_set(CA_FILE);
                // Only what is there, since what is not may be anything.
                let there = paths.iter().filter(|path| path.exists());
                let there: Vec<_> = there.map(|path| path.display().to_string()).collect();
                let from = format!("from {}", there.join(", "));
                (if is_file { CA_FILE } else { CA_DIR }, from)
            }
            _ => {
                for variable in [CA_FILE, CA_DIR] {
                    self.unused(variable, "nothing is asked for a certificate");
                }
                return;
            }
        };
        match config.count_ca_certificates() {
            Ok(count) => {
                let means = format!("{} {from}", counted(count, "CA certificate"));
                self.row(variable, means);
            }
            Err(error) => self.push(variable, State::Wrong, error.to_string()),
        }
        if variable == CA_FILE && self.environment.is_set(CA_DIR) {
            self.row(CA_DIR, "counted above");
        }
    }
}

/// What an outbox's file has in it; or why events will not be stored there.
fn waiting(path: &Path) -> Result<String, String> {
    if !path.exists() {
        let folder = path.parent().is_some_and(Path::is_dir);
        return match folder {
            true => Ok("the first one makes the file".to_owned()),
            false => Err("its folder does not exist, so events go directly".to_owned()),
        };
    }
    let stats = OutboxFile::open(path).and_then(|file| file.stats());
    stats
        .map(|stats| format!("{} pending, {} dead", stats.pending, stats.dead))
        .map_err(|error| format!("{error}; events go directly"))
}

/// As `OPTERYX_WEBHOOK_RETRY` has it: in the largest unit that leaves no rest.
fn in_units(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ];
    let unit = units
        .into_iter()
        .find(|(_, unit)| milliseconds > 0 && milliseconds.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}

fn is_ours(name: &str) -> bool {
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") && !text.contains(['@', '?', '#']) && text.is_ascii()
}

fn signed(secrets: &[&str]) -> String {
    if secrets.is_empty() {
        return "events are not signed".to_owned();
    }
    let kind = |secret: &&str| match *secret {
        "whsk_" => "whsk_ (Ed25519)",
        _ => "whsec_ (HMAC-SHA256)",
    };
    let kinds: Vec<_> = secrets.iter().map(kind).collect();
    let count = counted(secrets.len(), "secret");
    format!("events are signed with {count}: {}", kinds.join(", "))
}

fn through(proxy: &ProxySettings, other_end: &str) -> String {
    let credentials = match proxy.has_credentials {
        true => ", with user and password",
        false => "",
    };
    format!(
        "{other_end} is reached through {}{credentials}",
        proxy.address
    )
}

/// `1 secret`, `2 secrets`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}
