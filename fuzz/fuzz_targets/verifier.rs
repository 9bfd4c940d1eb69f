//! Headers and bodies from anybody: nothing is taken that was not signed, and nothing panics.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use opteryx_webhooks::Secret;
use opteryx_webhooks::receiver::{SIGNED_HEADERS, Verifier};

const SECRETS: [&str; 2] = [
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
];

// Lines are header values, in turn for each name; what follows an empty line is the body.
fuzz_target!(|data: &[u8]| {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = match end {
        Some(end) => (&data[..end], &data[end + 2..]),
        None => (data, &data[..0]),
    };
    let headers: Vec<_> = SIGNED_HEADERS
        .into_iter()
        .cycle()
        .zip(head.split(|byte| *byte == b'\n'))
        .collect();

    let secrets = SECRETS.map(|secret| secret.parse::<Secret>().unwrap());
    let verifier = Verifier::new(secrets)
        .with_tolerance(Duration::MAX)
        .with_clock(|| UNIX_EPOCH + Duration::from_secs(1_649_367_553));
    let result = verifier.verify(headers.iter().copied(), body);
    assert!(!result.is_err_and(|error| error.is_untimely()));

    // What is signed with whatever id and body is taken, if the id may stand there at all.
    let [secret, _] = SECRETS.map(|secret| secret.parse::<Secret>().unwrap());
    let id = headers
        .first()
        .and_then(|(_, id)| std::str::from_utf8(id).ok())
        .unwrap_or("evt_1");
    let signature = secret.sign(id, 7, body).unwrap();
    let signed = SIGNED_HEADERS.into_iter().zip([id, "7", &signature]);
    let attempt = verifier.authenticate(signed, body);
    let is_id = (1..=256).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_graphic() && b != b'.' && b != b',');
    assert_eq!(attempt.is_ok(), is_id);
});
