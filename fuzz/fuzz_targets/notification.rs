//! A body from anybody: what parses keeps every field, and reads.

#![no_main]

use libfuzzer_sys::fuzz_target;
use opteryx_webhooks::receiver::{CloudTask, Data, Notification};

fuzz_target!(|data: &[u8]| {
    if let Ok(notification) = Notification::parse(data) {
        let event = &notification.json()["event"];
        assert_eq!(event["action"], notification.action().as_str());
        assert_eq!(event["timestamp"], notification.timestamp_ms());
        if let Data::Other(data) = notification.data() {
            assert!(data.is_null() || data == &notification.json()["data"]);
        }
        let again = notification.json().to_string();
        let again = Notification::parse(again.as_bytes()).unwrap();
        assert_eq!(again.resource_name(), notification.resource_name());
        assert_eq!(again.collection(), notification.collection());
    }

    let names = [
        "X-CloudTasks-QueueName",
        "x-cloudtasks-tasketa",
        "X-CloudTasks-TaskRetryCount",
    ];
    let values = data.split(|byte| *byte == b'\n');
    let _ = CloudTask::from_headers(names.into_iter().cycle().zip(values));
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = CloudTask::from_headers(text.lines().map(|line| (line, line)));
    }
});
