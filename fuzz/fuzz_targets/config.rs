//! Variables with any value: a configuration or an error, never a panic, and no secret shown.

#![no_main]

use std::ffi::OsString;

use libfuzzer_sys::fuzz_target;
use opteryx_webhooks::{Config, Event, Notifier, Recorder};

const NAMES: [&str; 12] = [
    "OPTERYX_WEBHOOK_DOMAIN",
    "OPTERYX_WEBHOOK_TIMEOUT",
    "OPTERYX_WEBHOOK_EVENTS",
    "OPTERYX_WEBHOOK_HEADERS",
    "OPTERYX_WEBHOOK_SECRET",
    "OPTERYX_WEBHOOK_QUEUE",
    "OPTERYX_WEBHOOK_OIDC_AUDIENCE",
    "OPTERYX_WEBHOOK_RETRY",
    "OPTERYX_WEBHOOK_DOMIAN",
    "https_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
];

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

// Each line is a variable: its first byte says which, the rest is the value.
fuzz_target!(|data: &[u8]| {
    let variables: Vec<_> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let (first, value) = line.split_first()?;
            Some((NAMES[usize::from(*first) % NAMES.len()], os_string(value)))
        })
        .collect();
    let secret = "whsec_hunter2hunter2hunter2hunter2hunter2huntx";
    let result = Config::from_vars(
        variables
            .into_iter()
            .chain([("OPTERYX_WEBHOOK_SECRET", secret.into())]),
    );
    assert!(!format!("{result:?}").contains("hunter2hunter2"));
    if let Ok(config) = result {
        let recorder = Recorder::new();
        let notifier = Notifier::with_config_and_delivery(config, recorder.clone());
        notifier.notify(&Event::new("create", "view", "w", Some("c"), "v"));
        for message in recorder.take() {
            for (name, value) in message.headers() {
                assert!(!name.is_empty());
                assert!(value.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b)));
            }
        }
    }
});
