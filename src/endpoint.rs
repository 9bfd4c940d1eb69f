//! The URL that events go to, parsed once.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ureq::http::{HeaderValue, Uri};

use crate::signature::is_like_secret;

/// Where events are posted: `{scheme}://{domain}/event`.
///
/// It exists only if it is right: `host`, `host:port`, or either with a path prefix, https unless
/// `http://` is spelt out.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    uri: Uri,
    host: HeaderValue,
    /// Whether what is sent stays on this machine, so that plain http gives nothing away.
    loopback: bool,
}

impl Endpoint {
    /// Parses the value of `OPTERYX_WEBHOOK_DOMAIN`. The error says what would be right.
    pub(crate) fn parse(domain: &str) -> Result<Endpoint, String> {
        let (scheme, rest) = match domain.split_once("://") {
            None => ("https", domain),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            Some(_) => return Err(wrong("has a scheme other than https:// and http://")),
        };
        if let Some(found) = rest.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong(if found.is_control() {
                "contains a control character"
            } else {
                "contains a space"
            }));
        }
        if rest.contains('@') {
            return Err(wrong(
                "contains a user or password, which belong in OPTERYX_WEBHOOK_HEADERS",
            ));
        }
        if rest.contains(['?', '#']) {
            return Err(wrong("contains a query or a fragment"));
        }

        let (authority, prefix) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        if is_like_secret(authority) {
            return Err(wrong(
                "is a secret, which belongs in OPTERYX_WEBHOOK_SECRET",
            ));
        }
        let (host, port) = split_port(authority)?;
        let host = Host::parse(host)?;
        let prefix = prefix.trim_end_matches('/');
        if !prefix.bytes().all(is_path_byte) || !is_percent_encoded(prefix) {
            return Err(wrong(
                "has a path with characters that must be percent-encoded",
            ));
        }
        if prefix
            .split('/')
            .any(|segment| matches!(segment, "." | ".."))
        {
            return Err(wrong("has a path with a segment `.` or `..`"));
        }

        let url = match port {
            Some(port) => format!("{scheme}://{host}:{port}{prefix}/event"),
            None => format!("{scheme}://{host}{prefix}/event"),
        };
        let uri = url.parse().map_err(|_| wrong("does not make a URL"))?;
        let default_port = if scheme == "https" { 443 } else { 80 };
        let host_header = match port.filter(|port| *port != default_port) {
            Some(port) => format!("{host}:{port}").try_into(),
            None => host.to_string().try_into(),
        };
        Ok(Endpoint {
            uri,
            host: host_header.map_err(|_| wrong("does not make a URL"))?,
            loopback: host.is_loopback(),
        })
    }

    /// Whether it looks as if the route had been given along with the domain.
    pub(crate) fn repeats_its_route(&self) -> bool {
        self.uri.path().ends_with("/event/event")
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// What the header `Host` says: the port only where it is not the scheme's own.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    pub(crate) fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Whether events would cross a network in clear text.
    pub(crate) fn is_exposed(&self) -> bool {
        !self.is_https() && !self.loopback
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

fn wrong(problem: &str) -> String {
    format!(
        "{problem}; give a host, with a port or a path prefix if need be, such as \
         `router.opteryx.app`, `localhost:8443` or `gateway.example.com/hooks`"
    )
}

pub(crate) fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    // The colons of an IPv6 address stand inside its brackets.
    let host_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = authority[host_end..].find(':') else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(host_end + colon);
    let digits = &port[1..];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("has a colon that no port number follows"));
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(wrong("has a port that is not between 1 and 65535")),
        Ok(port) => Ok((host, Some(port))),
    }
}

/// What may stand in a path unencoded (RFC 3986, 3.3), and the slash.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%/".contains(&byte)
}

/// Whether every `%` has its two digits.
pub(crate) fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Host {
    fn parse(host: &str) -> Result<Host, String> {
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        if let Some(bracketed) = host.strip_prefix('[') {
            return match bracketed.strip_suffix(']').map(str::parse) {
                Some(Ok(address)) => Ok(Host::V6(address)),
                _ => Err(wrong("has brackets that hold no IPv6 address")),
            };
        }
        if let Ok(address) = host.parse() {
            return Ok(Host::V4(address));
        }
        if !host.is_ascii() {
            return Err(wrong(
                "has letters outside ASCII: write the host in Punycode, `xn--…`",
            ));
        }
        // One dot at the end is how a name is said to be complete.
        let labels = host.strip_suffix('.').unwrap_or(host);
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if labels.len() > 253 || !labels.split('.').all(is_label) {
            return Err(wrong("names a host that is not a DNS name"));
        }
        // The URL standard reads these as IPv4 addresses in other notations, so nobody means them.
        let last = labels.rsplit('.').next().unwrap_or(labels);
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong(
                "names a host that is neither a DNS name nor an IPv4 address",
            ));
        }
        Ok(Host::Name(host.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            // RFC 6761, 6.3: all names below localhost are loopback.
            Host::Name(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                name == "localhost" || name.ends_with(".localhost")
            }
            Host::V4(address) => address.is_loopback(),
            Host::V6(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => address.fmt(f),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_becomes_the_url_of_its_event_route() {
        for (domain, url) in [
            ("router.opteryx.app", "https://router.opteryx.app/event"),
            ("Router.Opteryx.App", "https://router.opteryx.app/event"),
            (
                "https://router.opteryx.app",
                "https://router.opteryx.app/event",
            ),
            ("HTTP://localhost:8080/", "http://localhost:8080/event"),
            ("localhost:8443", "https://localhost:8443/event"),
            (
                "gateway.example.com/hooks/",
                "https://gateway.example.com/hooks/event",
            ),
            ("10.0.0.1:1", "https://10.0.0.1:1/event"),
            ("[::1]:65535", "https://[::1]:65535/event"),
            ("[2001:DB8::1]", "https://[2001:db8::1]/event"),
            ("web_hook.internal.", "https://web_hook.internal./event"),
        ] {
            let endpoint = Endpoint::parse(domain).unwrap();
            assert_eq!(endpoint.to_string(), url, "{domain}");
        }
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for domain in [
            "https://",
            "/",
            ":443",
            "host:",
            "host:0",
            "host:99999",
            "host:x",
            "host:+1",
            "host:80:80",
            "user:pw@host",
            "host?x",
            "host#x",
            "ho st",
            "host/a b",
            "host/ü",
            "hôte",
            "-host",
            "host-",
            "a..b",
            ".",
            "[::1",
            "[]",
            "[::g]",
            "::1",
            "ftp://host",
            "file:///x",
            "host\n",
            "1.2.3",
            "256.0.0.1",
            "0x7f.1",
            "host/\"",
            "host\\x",
            "http://https://host",
            "host/%",
            "host/%zz",
            "host/a/../b",
            "host/./a",
            "whsec_hunter2",
            "https://WHSK_hunter2",
        ] {
            assert!(Endpoint::parse(domain).is_err(), "{domain:?}");
        }
        assert!(Endpoint::parse(&"a".repeat(64)).is_err());
        assert!(Endpoint::parse(&"a.".repeat(128)).is_err());
    }

    #[test]
    fn only_plain_http_beyond_loopback_is_exposed() {
        for (domain, exposed) in [
            ("http://example.com", true),
            ("http://10.0.0.1", true),
            ("http://localhost.example.com", true),
            ("http://localhost:1", false),
            ("http://catalog.localhost", false),
            ("http://127.8.8.8", false),
            ("http://[::1]:1", false),
            ("example.com", false),
        ] {
            assert_eq!(
                Endpoint::parse(domain).unwrap().is_exposed(),
                exposed,
                "{domain}"
            );
        }
    }
}
