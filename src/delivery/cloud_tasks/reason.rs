//! Reasons that came from outside, as far as they may be told.

use gcloud_sdk::google::cloud::tasks::v2::CreateTaskRequest;
use gcloud_sdk::google::cloud::tasks::v2::task::MessageType;

/// How much of a reason that came from outside is kept, in bytes.
const MAX_REASON: usize = 1024;

/// The service's reason without what it may quote of the task's headers and body.
pub(super) fn without_values(reason: &str, creation: &CreateTaskRequest) -> String {
    /// A shorter value stands in other words by chance, and keeps no secret.
    const MIN_VALUE: usize = 6;

    let mut reason = reason.to_owned();
    let message = creation
        .task
        .as_ref()
        .and_then(|task| task.message_type.as_ref());
    if let Some(MessageType::HttpRequest(request)) = message {
        let headers = request.headers.iter().filter(|(name, _)| !is_public(name));
        // `Bearer` and what follows it, in parts, too.
        let values =
            headers.flat_map(|(_, value)| std::iter::once(value.as_str()).chain(value.split(' ')));
        let body = std::str::from_utf8(&request.body).ok();
        for value in values.chain(body).filter(|value| value.len() >= MIN_VALUE) {
            reason = reason.replace(value, "…");
        }
    }
    excerpt(&reason)
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
            body: b"{\"secret\":1}".to_vec(),
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
            ("bad token hunter2", "bad token …"),
            (
                "bad app.opteryx.dataset.create",
                "bad app.opteryx.dataset.create",
            ),
            ("body {\"secret\":1}", "body …"),
        ] {
            assert_eq!(without_values(reason, &creation), told);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let cut = excerpt(&"é".repeat(MAX_REASON));
        assert!(cut.ends_with("é…") && cut.len() <= MAX_REASON + "…".len());
        assert_eq!(excerpt("short"), "short");
    }
}
