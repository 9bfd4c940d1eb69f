//! The connection to Cloud Tasks: TLS, and a proxy where there is one.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use rustls::RootCertStore;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use ureq::http::HeaderValue;

use super::queue::Site;
use super::reason::excerpt;
use crate::error::{Chain, DeliveryError, Kind};
use crate::proxy::Proxy;
use crate::trust::Trust;

/// When the system begins to probe a connection that is idle. Not HTTP/2's own ping, which servers
/// are free to punish when nothing else is going on.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What connections are made by.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) site: Site,
    pub(super) timeout: Duration,
    pub(super) proxy: Option<Proxy>,
    pub(super) trust: Trust,
}

/// A connection that is made at its first call.
pub(super) struct Connection {
    pub(super) channel: Channel,
    /// Whether an answer ever came over it.
    has_served: AtomicBool,
}

impl Connection {
    pub(super) fn new(settings: &Settings) -> Result<Connection, DeliveryError> {
        Ok(Connection {
            channel: settings.channel()?,
            has_served: AtomicBool::new(false),
        })
    }

    pub(super) fn has_served(&self) -> bool {
        self.has_served.load(Ordering::Relaxed)
    }

    /// An answer came over it.
    pub(super) fn serves(&self) {
        self.has_served.store(true, Ordering::Relaxed);
    }
}

impl Settings {
    fn channel(&self) -> Result<Channel, DeliveryError> {
        let unusable = |error: tonic::transport::Error| {
            DeliveryError::from(Kind::QueueUnreachable)
                .with_source(excerpt(&Chain(&error).to_string()))
        };
        let (Site::Google { url } | Site::Emulator { url }) = &self.site;
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(unusable)?
            .connect_timeout(self.timeout)
            .tcp_keepalive(Some(TCP_KEEP_ALIVE));
        if let Site::Google { .. } = self.site {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(self.trust.certificates()?);
            let tls = ClientTlsConfig::new().trust_anchors(roots.roots);
            endpoint = endpoint.tls_config(tls).map_err(unusable)?;
        }
        let Some(proxy) = &self.proxy else {
            return Ok(endpoint.connect_lazy());
        };
        let mut socket = HttpConnector::new();
        socket.set_nodelay(true);
        socket.set_keepalive(Some(TCP_KEEP_ALIVE));
        let tunnel = tunnel(proxy, socket).ok_or_else(|| DeliveryError::from(Kind::Proxy))?;
        Ok(endpoint.connect_with_connector_lazy(tunnel))
    }
}

/// Connects through the proxy, which gets user and password where its URL has them.
fn tunnel(
    Proxy { url: proxy, .. }: &Proxy,
    socket: HttpConnector,
) -> Option<Tunnel<HttpConnector>> {
    let (host, port) = (proxy.host(), proxy.port());
    let address = match host.contains(':') && !host.starts_with('[') {
        true => format!("http://[{host}]:{port}"),
        false => format!("http://{host}:{port}"),
    };
    let tunnel = Tunnel::new(address.parse().ok()?, socket);
    let (Some(user), password) = (proxy.username(), proxy.password()) else {
        return Some(tunnel);
    };
    let credentials = format!("{user}:{}", password.unwrap_or_default());
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(credentials))).ok()?;
    value.set_sensitive(true);
    Some(tunnel.with_auth(value))
}

/// Whether the TLS handshake is what failed, at a certificate that no one trusts, say.
pub(super) fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut below = Some(error);
    while let Some(error) = below {
        let inner = error.downcast_ref().and_then(io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        below = error.source();
    }
    false
}
