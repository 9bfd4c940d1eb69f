//! Reasons that came from outside, as far as they may be told.

use std::collections::HashMap;

use gcloud_sdk::google::cloud::tasks::v2::CreateTaskRequest;
use gcloud_sdk::google::cloud::tasks::v2::task::MessageType;

/// How much of a reason that came from outside is kept, in bytes.
const MAX_REASON: usize = 1024;

/// How many bytes in a row a reason may share with a header's value. Fewer stand in other words by
/// chance, and give no secret away.
const MAX_SHARED_WITH_HEADER: usize = 5;

/// The same with the body, which has many words that stand in any reason.
const MAX_SHARED_WITH_BODY: usize = 15;

/// The service's reason without what it may quote of the task's headers and body, whole or in part.
pub(super) fn without_values(reason: &str, creation: &CreateTaskRequest) -> String {
    let reason = excerpt(reason);
    let message = creation
        .task
        .as_ref()
        .and_then(|task| task.message_type.as_ref());
    let Some(MessageType::HttpRequest(request)) = message else {
        return reason;
    };
    let mut is_quoted = vec![false; reason.len()];
    let headers = request.headers.iter().filter(|(name, _)| !is_public(name));
    for (_, value) in headers {
        mark_shared(
            &mut is_quoted,
            &reason,
            value.as_bytes(),
            MAX_SHARED_WITH_HEADER + 1,
        );
    }
    mark_shared(
        &mut is_quoted,
        &reason,
        &request.body,
        MAX_SHARED_WITH_BODY + 1,
    );
    shown(&reason, &is_quoted)
}

/// The reason without what stands between quotation marks in it.
pub(super) fn without_quotes(reason: &str) -> String {
    let mut is_quoted = vec![false; reason.len()];
    let (mut within, mut escaped) = (false, false);
    for (position, byte) in reason.bytes().enumerate() {
        let is_mark = byte == b'"' && !escaped;
        is_quoted[position] = within && !is_mark;
        within ^= is_mark;
        escaped = byte == b'\\' && !escaped;
    }
    shown(reason, &is_quoted)
}

/// Marks what the reason shares with the secret, in runs of this length and more.
fn mark_shared(is_quoted: &mut [bool], reason: &str, secret: &[u8], run: usize) {
    let mut runs: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (position, bytes) in reason.as_bytes().windows(run).enumerate() {
        runs.entry(bytes).or_default().push(position);
    }
    for position in secret
        .windows(run)
        .filter_map(|bytes| runs.get(bytes))
        .flatten()
    {
        is_quoted[*position..position + run].fill(true);
    }
}

/// The text, with an ellipsis for each stretch that is marked.
fn shown(text: &str, is_hidden: &[bool]) -> String {
    let mut shown = String::with_capacity(text.len());
    for (position, character) in text.char_indices() {
        if !is_hidden[position] {
            shown.push(character);
        } else if !shown.ends_with('…') {
            shown.push('…');
        }
    }
    shown
}

/// Whether a header's value is no secret.
fn is_public(name: &str) -> bool {
    name.starts_with("ce-") || matches!(name, "Content-Type" | "User-Agent" | "webhook-id")
}

/// The beginning of a reason that came from outside.
pub(super) fn excerpt(reason: &str) -> String {
    if reason.len() <= MAX_REASON {
        return reason.to_owned();
    }
    let mut end = MAX_REASON;
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &reason[..end])
}

#[cfg(test)]
mod tests {
    use gcloud_sdk::google::cloud::tasks::v2::{HttpRequest, Task};

    use super::*;

    #[test]
    fn no_value_and_no_body_is_told() {
        let request = HttpRequest {
            headers: [
                ("authorization", "Bearer hunter2"),
                ("x-team", "data"),
                ("ce-type", "app.opteryx.dataset.create"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            body: b"{\"secret\":1234567}".to_vec(),
            ..Default::default()
        };
        let creation = CreateTaskRequest {
            task: Some(Task {
                message_type: Some(MessageType::HttpRequest(request)),
                ..Default::default()
            }),
            ..Default::default()
        };
        for (reason, told) in [
            ("the database is down", "the database is down"),
            ("bad: 'Bearer hunter2'", "bad: '…'"),
            ("bad: 'Bearer hun...'", "bad: '…...'"),
            ("bad token hunter2", "bad token…"),
            (
                "bad app.opteryx.dataset.create",
                "bad app.opteryx.dataset.create",
            ),
            ("body {\"secret\":1234567, …", "body …, …"),
        ] {
            assert_eq!(without_values(reason, &creation), told);
        }
    }

    #[test]
    fn nothing_between_quotation_marks_is_told() {
        for (reason, told) in [
            (
                "invalid type: string \"ya29.a\", expected",
                "invalid type: string \"…\", expected",
            ),
            (
                r#"[404] b"no \"such\" account" again"#,
                r#"[404] b"…" again"#,
            ),
            ("an end that is \"missing", "an end that is \"…"),
            ("nothing", "nothing"),
            ("\"\"", "\"\""),
        ] {
            assert_eq!(without_quotes(reason), told);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let cut = excerpt(&"é".repeat(MAX_REASON));
        assert!(cut.ends_with("é…") && cut.len() <= MAX_REASON + "…".len());
        assert_eq!(excerpt("short"), "short");
    }
}
