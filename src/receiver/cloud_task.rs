//! What Google Cloud Tasks says of a dispatch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What Google Cloud Tasks adds to a request about its task
/// ([HTTP targets](https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler)).
///
/// It is information, for logs: anybody can send these headers, so they identify nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloudTask {
    /// The queue's short name, from `X-CloudTasks-QueueName`.
    pub queue: String,
    /// The task's short name, from `X-CloudTasks-TaskName`; the same as `webhook-id` if a
    /// [`Notifier`](crate::Notifier) enqueued it.
    pub task: Option<String>,
    /// How often this task has been tried again, from `X-CloudTasks-TaskRetryCount`: 0 at the first
    /// attempt. Attempts that never reached a receiver count too.
    pub retry_count: Option<u64>,
    /// How many responses there have been so far, from `X-CloudTasks-TaskExecutionCount`.
    pub execution_count: Option<u64>,
    /// When the task was due, from `X-CloudTasks-TaskETA`.
    pub eta: Option<SystemTime>,
}

impl CloudTask {
    /// What the headers of a request say, if they name a queue. A value that is not of its form, or
    /// there twice, counts as not there.
    ///
    /// ```
    /// use opteryx_webhooks::receiver::CloudTask;
    ///
    /// let task = CloudTask::from_headers([
    ///     ("X-CloudTasks-QueueName", "webhooks"),
    ///     ("X-CloudTasks-TaskRetryCount", "3"),
    /// ]);
    /// assert_eq!(task.and_then(|task| task.retry_count), Some(3));
    /// ```
    pub fn from_headers<N: AsRef<str>, V: AsRef<[u8]>>(
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Option<CloudTask> {
        const PREFIX: &str = "x-cloudtasks-";
        const NAMES: [&str; 5] = [
            "queuename",
            "taskname",
            "taskretrycount",
            "taskexecutioncount",
            "tasketa",
        ];
        let mut values: [Vec<String>; 5] = Default::default();
        for (name, value) in headers {
            let Some((prefix, rest)) = name.as_ref().split_at_checked(PREFIX.len()) else {
                continue;
            };
            let place = NAMES
                .iter()
                .position(|known| rest.eq_ignore_ascii_case(known));
            if let (true, Some(place)) = (prefix.eq_ignore_ascii_case(PREFIX), place) {
                let value = String::from_utf8_lossy(value.as_ref());
                values[place].push(value.trim().to_owned());
            }
        }
        let [queue, task, retry_count, execution_count, eta] = values.map(|mut values| {
            let value = values.pop()?;
            (values.is_empty() && !value.is_empty()).then_some(value)
        });
        let count = |value: Option<String>| value?.parse().ok();
        Some(CloudTask {
            queue: queue?,
            task,
            retry_count: count(retry_count),
            execution_count: count(execution_count),
            eta: eta.as_deref().and_then(time),
        })
    }
}

/// Unix seconds with a fraction.
fn time(value: &str) -> Option<SystemTime> {
    let seconds: f64 = value.parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_cloud_tasks_says_is_read() {
        let task = CloudTask::from_headers([
            ("x-cloudtasks-queuename", "webhooks"),
            ("X-CloudTasks-TaskName", "evt_1"),
            ("X-CLOUDTASKS-TASKRETRYCOUNT", "2"),
            ("X-CloudTasks-TaskExecutionCount", "1"),
            ("X-CloudTasks-TaskETA", "1704556800.25"),
            ("Content-Type", "application/json"),
        ])
        .unwrap();
        assert_eq!(task.queue, "webhooks");
        assert_eq!(task.task.as_deref(), Some("evt_1"));
        assert_eq!((task.retry_count, task.execution_count), (Some(2), Some(1)));
        let due = task.eta.unwrap().duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(due, Duration::from_millis(1_704_556_800_250));
    }

    #[test]
    fn nonsense_counts_as_not_there() {
        let task = CloudTask::from_headers([
            ("X-CloudTasks-QueueName", b"q".as_slice()),
            ("X-CloudTasks-TaskRetryCount", b"-1"),
            ("X-CloudTasks-TaskExecutionCount", b"1"),
            ("X-CloudTasks-TaskExecutionCount", b"2"),
            ("X-CloudTasks-TaskETA", b"1e400"),
            ("X-CloudTasks-TaskName", b""),
        ])
        .unwrap();
        assert_eq!((task.retry_count, task.execution_count), (None, None));
        assert_eq!((task.eta, task.task), (None, None));
        for eta in ["nan", "-1", "inf", "1e30"] {
            assert_eq!(time(eta), None, "{eta}");
        }
        assert_eq!(
            CloudTask::from_headers([("ä", "x"), ("X-CloudTasksäQueueName", "q")]),
            None
        );
        assert_eq!(CloudTask::from_headers([("", "")]), None);
    }
}
