//! Other libraries as they come, and this message sent by them.

use std::sync::Arc;
use std::time::Duration;

use opteryx_webhooks::Message;
use reqwest::blocking::Client;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// What an event may take, as for the notifier.
const TIMEOUT: Duration = Duration::from_secs(10);

/// ureq's Agent with nothing set but the time limit and whom it trusts.
pub fn ureq(trusted: Option<&CertificateDer<'_>>) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .proxy(None);
    if let Some(certificate) = trusted {
        let certificate = Certificate::from_der(certificate).to_owned();
        config = config.tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::new_with_certs(&[certificate]))
                .unversioned_rustls_crypto_provider(Arc::new(
                    rustls::crypto::ring::default_provider(),
                ))
                .build(),
        );
    }
    config.build().new_agent()
}

pub fn post_by_ureq(agent: &Agent, url: &str, message: &Message) {
    let mut request = agent.post(url);
    for (name, value) in message.headers() {
        request = request.header(name, value.as_ref());
    }
    let mut response = request.send(message.body()).unwrap();
    response.body_mut().read_to_string().unwrap();
}

/// `reqwest::blocking`, likewise.
pub fn reqwest(tls: Option<&Arc<ClientConfig>>) -> Client {
    let mut builder = Client::builder().timeout(TIMEOUT).no_proxy();
    // Plain text too is given a configuration: without one it looks for a default provider.
    let config = tls.map_or_else(crate::site::trusting_nobody, |tls| ClientConfig::clone(tls));
    builder = builder.tls_backend_preconfigured(config);
    builder.build().unwrap()
}

pub fn post_by_reqwest(client: &Client, url: &str, message: &Message) {
    let mut request = client.post(url).body(message.body().to_vec());
    for (name, value) in message.headers() {
        request = request.header(name, value.as_ref());
    }
    let response = request.send().unwrap();
    assert!(response.status().is_success());
    response.bytes().unwrap();
}
