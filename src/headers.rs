//! The operator's own headers: `OPTERYX_WEBHOOK_HEADERS`.

use std::fmt;

use percent_encoding::percent_decode_str;
use ureq::http::HeaderName;

use crate::endpoint::is_percent_encoded;
use crate::signature::is_like_secret;

/// The longest value, in bytes: what common servers take.
const MAX_VALUE: usize = 8 * 1024;

/// Headers that the message, HTTP or the road itself sets, where a second value would contradict it,
/// and some that mean nothing in a notification.
const TAKEN: [&str; 16] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Further headers of every message, in the form of `OTEL_EXPORTER_OTLP_HEADERS`
/// ([OpenTelemetry Protocol Exporter](https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables)).
#[derive(Clone, Default)]
pub(crate) struct ExtraHeaders(Vec<(String, String)>);

impl ExtraHeaders {
    /// Parses `k1=v1,k2=v2`, values percent-encoded. The error says what would be right, and names
    /// a header at most, never a value.
    pub(crate) fn parse(list: &str) -> Result<ExtraHeaders, String> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (position, entry) in list.split(',').map(str::trim).enumerate() {
            if entry.is_empty() {
                continue;
            }
            let place = position + 1;
            let Some((name, value)) = entry.split_once('=') else {
                return Err(format!(
                    "entry {place} has no `=`; give headers as `name=value,name=value`, with \
                     commas and spaces in values percent-encoded"
                ));
            };
            let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes()) else {
                return Err(format!("entry {place} begins with what is no header name"));
            };
            let name = name.as_str();
            // The padding of its base64 looks like what parts name and value.
            if is_like_secret(name) {
                return Err(format!(
                    "entry {place} is a secret, which belongs in OPTERYX_WEBHOOK_SECRET"
                ));
            }
            if TAKEN.contains(&name) || name.starts_with("webhook-") || name.starts_with("ce-") {
                return Err(format!("the header `{name}` is set by the notifier itself"));
            }
            if headers.iter().any(|(other, _)| other == name) {
                return Err(format!("the header `{name}` stands there twice"));
            }
            let value = decoded(value.trim()).ok_or_else(|| {
                format!("the value of `{name}` is not visible ASCII, percent-encoded")
            })?;
            if value.len() > MAX_VALUE {
                return Err(format!("the value of `{name}` is over {MAX_VALUE} bytes"));
            }
            headers.push((name.to_owned(), value));
        }
        Ok(ExtraHeaders(headers))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Appends them as HTTP/1.1 writes them: a line for each.
    pub(crate) fn write(&self, head: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            for part in [name, ": ", value, "\r\n"] {
                head.extend_from_slice(part.as_bytes());
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The value without its percent-encoding; none if it cannot stand in a header.
fn decoded(value: &str) -> Option<String> {
    // A `%` that encodes nothing is a mistake, most often a `%` that should have been encoded.
    let is_encoded = is_percent_encoded(value);
    let value = percent_decode_str(value).decode_utf8().ok()?;
    let value = value.trim_matches([' ', '\t']);
    let is_visible = value.chars().all(|c| matches!(c, ' '..='~' | '\t'));
    (is_encoded && is_visible).then(|| value.to_owned())
}

/// The names alone: a value is most often a credential.
impl fmt::Debug for ExtraHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them() {
        let headers =
            ExtraHeaders::parse(" Authorization=Bearer%20a%2Cb== , x-team = data ,").unwrap();
        assert_eq!(
            headers.iter().collect::<Vec<_>>(),
            [("authorization", "Bearer a,b=="), ("x-team", "data")]
        );
    }

    #[test]
    fn what_is_no_header_is_refused_without_its_value() {
        for list in [
            "hunter2",
            "=hunter2",
            "a b=hunter2",
            "x=%0d%0ahunter2",
            "x=hunter2%ff",
            "x=hunter2é",
            "Content-Type=hunter2",
            "host=hunter2",
            "webhook-id=hunter2",
            "CE-type=hunter2",
            "x=hunter2,X=hunter2",
            "x=%00hunter2",
            "x=hunter2%",
            "x=hunter2%2",
            "x=hunter2%zz",
            "accept=hunter2",
            "whsec_hunter2=",
        ] {
            let error = ExtraHeaders::parse(list).unwrap_err();
            assert!(!error.contains("hunter2"), "{list}: {error}");
        }
        let long = format!("x={}", "a".repeat(MAX_VALUE + 1));
        assert!(ExtraHeaders::parse(&long).unwrap_err().contains("`x`"));
        assert!(ExtraHeaders::parse(&long[..long.len() - 1]).is_ok());
        assert!(!format!("{:?}", ExtraHeaders::parse("a=hunter2").unwrap()).contains("hunter2"));
    }
}
