//! The proxy between the notifier and the receiver: `HTTPS_PROXY` and its kin.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;

use ureq::ProxyProtocol;

use crate::endpoint::{Endpoint, split_port};
use crate::error::ConfigError;
use crate::signature::is_like_secret;

/// The variables, strongest first, for an endpoint of each scheme. `HTTP_PROXY` in capitals is not
/// among them: in a CGI process it is a request header of the caller's, which is why curl ignores it
/// too ([httpoxy](https://httpoxy.org)).
const FOR_HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const FOR_HTTP: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];
/// What Google's library goes by when it asks for an access token; in capitals, too.
#[cfg(feature = "cloud-tasks")]
const FOR_METADATA: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
/// Where it asks: the metadata server of a machine at Google.
#[cfg(feature = "cloud-tasks")]
pub(crate) const METADATA_SERVERS: [&str; 2] = ["metadata.google.internal", "169.254.169.254"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxy variables as they stand in the environment.
#[derive(Default)]
pub(crate) struct ProxyVariables(Vec<(String, OsString)>);

/// A CONNECT proxy that the endpoint is reached through.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) url: ureq::Proxy,
    /// The one that names it.
    pub(crate) variable: String,
}

impl ProxyVariables {
    pub(crate) fn is_one(name: &str) -> bool {
        FOR_HTTPS
            .into_iter()
            .chain(FOR_HTTP)
            .chain(["HTTP_PROXY"])
            .chain(EXCEPTIONS)
            .any(|known| {
                if cfg!(windows) {
                    known.eq_ignore_ascii_case(name)
                } else {
                    known == name
                }
            })
    }

    pub(crate) fn set(&mut self, name: &str, value: OsString) {
        self.0.push((name.to_owned(), value));
    }

    /// The proxy for this endpoint, if there is one.
    pub(crate) fn proxy_for(&self, endpoint: &Endpoint) -> Result<Option<Proxy>, ConfigError> {
        let names = if endpoint.is_https() {
            &FOR_HTTPS[..]
        } else {
            &FOR_HTTP[..]
        };
        let Some((name, value)) = self.first_of(names)? else {
            return Ok(None);
        };
        if let Some((_, exceptions)) = self.first_of(&EXCEPTIONS)? {
            let host = endpoint.uri().host().unwrap_or_default();
            let port =
                endpoint
                    .uri()
                    .port_u16()
                    .unwrap_or(if endpoint.is_https() { 443 } else { 80 });
            if exceptions
                .split(',')
                .any(|exception| excepts(exception.trim(), host, port))
            {
                return Ok(None);
            }
        }
        let wrong = || {
            ConfigError::new(
                name.to_owned(),
                "must be the URL of an HTTP proxy, such as `http://proxy.example.com:3128`, with \
                 `https://` or `user:password@` if need be; SOCKS is not supported (NO_PROXY can \
                 except the receiver)",
            )
        };
        // ureq takes a port that is none for 80, and drops a path.
        let (_, rest) = value.split_once("://").unwrap_or(("http", value));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (_, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        if address.contains('/') || split_port(address).is_err() {
            return Err(wrong());
        }
        let proxy = ureq::Proxy::new(value).map_err(|_| wrong())?;
        if !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
            || proxy.host().is_empty()
            || is_like_secret(proxy.host())
        {
            return Err(wrong());
        }
        Ok(Some(Proxy {
            url: proxy,
            variable: name.to_owned(),
        }))
    }

    /// The variable that puts a proxy between Google's library and the metadata server.
    #[cfg(feature = "cloud-tasks")]
    pub(crate) fn before_metadata_server(&self) -> Option<&str> {
        let (name, _) = self.first_of(&FOR_METADATA).ok()??;
        let exceptions = self
            .first_of(&EXCEPTIONS)
            .ok()?
            .map_or("", |(_, value)| value);
        let is_excepted = |host: &&str| {
            exceptions
                .split(',')
                .any(|exception| excepts(exception.trim(), host, 80))
        };
        (!METADATA_SERVERS.iter().all(is_excepted)).then_some(name)
    }

    fn first_of(&self, names: &[&str]) -> Result<Option<(&str, &str)>, ConfigError> {
        let found = names.iter().find_map(|name| {
            self.0.iter().rev().find(|(set, _)| {
                if cfg!(windows) {
                    set.eq_ignore_ascii_case(name)
                } else {
                    set == name
                }
            })
        });
        let Some((name, value)) = found else {
            return Ok(None);
        };
        match value.to_str() {
            Some(value) => Ok(Some((name, value.trim()))),
            None => Err(ConfigError::new(name.clone(), "is not UTF-8")),
        }
    }
}

/// Whether an entry of `NO_PROXY` names this host, as curl and Python's requests read it: `*`, a
/// name and all names below it, an address, or a range of addresses; each with a port if it must be
/// that one.
fn excepts(entry: &str, host: &str, port: u16) -> bool {
    let bare = |text: &str| {
        text.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned()
    };
    let (entry, wanted_port) = match entry.rsplit_once(':') {
        // The colons of an IPv6 address are not a port's.
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
            match digits.parse::<u16>() {
                Ok(wanted) => (name, Some(wanted)),
                Err(_) => (entry, None),
            }
        }
        _ => (entry, None),
    };
    if entry.is_empty() || wanted_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if entry == "*" {
        return true;
    }
    let host = bare(host.strip_suffix('.').unwrap_or(host));
    if let Ok(address) = host.parse::<IpAddr>() {
        return match entry.split_once('/') {
            Some((network, length)) => match (bare(network).parse(), length.parse()) {
                (Ok(network), Ok(length)) => is_within(address, network, length),
                _ => false,
            },
            None => bare(entry).parse() == Ok(address),
        };
    }
    let entry = entry.to_ascii_lowercase();
    let name = entry.trim_start_matches('*').trim_start_matches('.');
    let name = name.strip_suffix('.').unwrap_or(name);
    host.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_within(address: IpAddr, network: IpAddr, length: u32) -> bool {
    let bits = |address: IpAddr| match address {
        // As the high bits of the same width, so that one shift serves both.
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let ((address, width), (network, network_width)) = (bits(address), bits(network));
    width == network_width
        && length <= width
        && (length == 0 || (address ^ network) >> (128 - length) == 0)
}

impl Proxy {
    /// Whether the proxy itself is spoken to over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.url.protocol() == ProxyProtocol::Https
    }
}

/// The address alone: user and password are nobody's business.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.url.host(), self.url.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(domain: &str, vars: &[(&str, &str)]) -> Result<Option<String>, ConfigError> {
        let mut variables = ProxyVariables::default();
        for (name, value) in vars {
            variables.set(name, value.into());
        }
        let endpoint = Endpoint::parse(domain).unwrap();
        Ok(variables
            .proxy_for(&endpoint)?
            .map(|proxy| format!("{proxy:?}")))
    }

    #[test]
    fn the_scheme_of_the_endpoint_chooses_the_variable() {
        let vars = [("HTTPS_PROXY", "http://a:1"), ("http_proxy", "http://b:2")];
        assert_eq!(proxy("example.com", &vars).unwrap().as_deref(), Some("a:1"));
        assert_eq!(
            proxy("http://localhost", &vars).unwrap().as_deref(),
            Some("b:2")
        );
        let all = [("ALL_PROXY", "proxy.example.com:3128")];
        assert_eq!(
            proxy("x.org", &all).unwrap().as_deref(),
            Some("proxy.example.com:3128")
        );
        assert_eq!(
            proxy("x.org", &[("HTTP_PROXY", "http://b:2")]).unwrap(),
            None
        );
        let both = [("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://c:3")];
        assert_eq!(proxy("x.org", &both).unwrap().as_deref(), Some("c:3"));
    }

    #[test]
    fn what_no_proxy_names_is_reached_directly() {
        let excepted = |domain: &str, exceptions: &str| {
            let vars = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", exceptions)];
            proxy(domain, &vars).unwrap().is_none()
        };
        for (domain, exceptions) in [
            ("a.example.com", "x.org, example.com"),
            ("a.example.com", ".example.com"),
            ("a.example.com", "*.Example.com"),
            ("example.com", "example.com"),
            ("example.com.", "example.com"),
            ("example.com:8443", "example.com:8443"),
            ("a.b", "*"),
            ("10.1.2.3", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3"),
            ("[::1]:1", "::1"),
            ("[::1]:1", "[::1]:1"),
            ("[fd00::5]", "fd00::/8"),
        ] {
            assert!(excepted(domain, exceptions), "{domain} {exceptions}");
        }
        for (domain, exceptions) in [
            ("badexample.com", "example.com"),
            ("example.com", "a.example.com"),
            ("example.com", "example.com:8443"),
            ("example.com", " , "),
            ("11.1.2.3", "10.0.0.0/8"),
            ("10.1.2.3", "10.0.0.0/33"),
            ("[::1]", "0.0.0.0/0"),
        ] {
            assert!(!excepted(domain, exceptions), "{domain} {exceptions}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_and_not_a_detour() {
        for value in [
            "socks5://p:1",
            "ftp://p",
            "http://",
            "not a url",
            "://",
            "http://p:99999",
            "http://p:",
            "http://u:w@p:x",
            "http://p:1/path",
            "whsec_hunter2",
        ] {
            let error = proxy("example.com", &[("HTTPS_PROXY", value)]).unwrap_err();
            assert_eq!(error.variable(), "HTTPS_PROXY", "{value}");
        }
    }
}
