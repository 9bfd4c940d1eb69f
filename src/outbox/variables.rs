//! The outbox's variables, and what they come to.

use std::path;

use super::{History, OutboxConfig, Rate, Retry};
use crate::error::ConfigError;

/// The variables, as strings that are neither empty nor untrimmed.
pub(crate) struct OutboxVariables {
    pub(crate) outbox: Option<String>,
    pub(crate) retry: Option<String>,
    pub(crate) rate: Option<String>,
    pub(crate) history: Option<String>,
}

impl OutboxVariables {
    /// The outbox that they describe; none without a file.
    pub(crate) fn outbox(
        self,
        warnings: &mut Vec<String>,
    ) -> Result<Option<OutboxConfig>, ConfigError> {
        let retry = parsed("OPTERYX_WEBHOOK_RETRY", self.retry.as_deref(), Retry::parse)?;
        let rate = parsed("OPTERYX_WEBHOOK_RATE", self.rate.as_deref(), Rate::parse)?;
        let history = parsed(
            "OPTERYX_WEBHOOK_HISTORY",
            self.history.as_deref(),
            str::parse::<History>,
        )?;
        let Some(outbox) = self.outbox else {
            for (name, is_set) in [
                ("OPTERYX_WEBHOOK_RETRY", retry.is_some()),
                ("OPTERYX_WEBHOOK_RATE", rate.is_some()),
                ("OPTERYX_WEBHOOK_HISTORY", history.is_some()),
            ] {
                if is_set {
                    warnings.push(format!(
                        "{name} does nothing without OPTERYX_WEBHOOK_OUTBOX, which is not set"
                    ));
                }
            }
            return Ok(None);
        };
        // The service may go to another folder later.
        let path = path::absolute(outbox).map_err(|_| {
            ConfigError::new(
                "OPTERYX_WEBHOOK_OUTBOX",
                "must be an absolute path, such as `/var/lib/catalog/webhooks.db`: this process \
                 has no current folder",
            )
        })?;
        if path.file_name().is_none() {
            return Err(ConfigError::new(
                "OPTERYX_WEBHOOK_OUTBOX",
                "must be the path of a file, such as `/var/lib/catalog/webhooks.db`",
            ));
        }
        Ok(Some(OutboxConfig {
            path,
            retry: retry.unwrap_or_default(),
            rate,
            history: history.unwrap_or_default(),
        }))
    }
}

fn parsed<T>(
    name: &'static str,
    value: Option<&str>,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Option<T>, ConfigError> {
    value
        .map(parse)
        .transpose()
        .map_err(|problem| ConfigError::new(name, problem))
}
