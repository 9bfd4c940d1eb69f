//! An endpoint on loopback, and all who send there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use opteryx_webhooks::{Config, Notifier};
use reqwest::blocking::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use ureq::Agent;

use crate::peers;
use crate::raw::RawClient;
use crate::receiver;
use crate::support::tls::Authority;

/// An authority that has vouched for this run's receivers.
pub struct Trust {
    /// Its certificate in PEM.
    pub file: PathBuf,
    certificate: CertificateDer<'static>,
    server: Arc<ServerConfig>,
}

impl Trust {
    pub fn new() -> Trust {
        let authority = Authority::new();
        let file = authority.file();
        let mut server = ServerConfig::clone(&authority.server());
        // As most servers do, so that no session is forgotten because others came in between.
        server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        Trust {
            certificate: CertificateDer::from_pem_file(&file).unwrap(),
            file,
            server: Arc::new(server),
        }
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

pub fn trusting_nobody() -> ClientConfig {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub struct Site {
    pub address: SocketAddr,
    pub domain: String,
    pub url: String,
    pub trust_file: Option<PathBuf>,
    pub notifier: Notifier,
    /// One for each thread, since each has but one connection.
    pub by_hand: Vec<Mutex<RawClient>>,
    pub ureq: Agent,
    pub reqwest: Client,
}

impl Site {
    /// One for so many threads at once; https if there is someone to trust.
    pub fn new(trust: Option<&Trust>, keeps_open: bool, threads: usize) -> Arc<Site> {
        let address = receiver::start(trust.map(Trust::server), keeps_open);
        let scheme = if trust.is_some() { "https" } else { "http" };
        let domain = format!("{scheme}://{address}");
        let tls = trust.map(|trust| client(&trust.file));
        let by_hand = || Mutex::new(RawClient::new(address, tls.clone()));
        Arc::new(Site {
            address,
            url: format!("{domain}/event"),
            trust_file: trust.map(|trust| trust.file.clone()),
            notifier: notifier(&domain, trust.map(|trust| trust.file.as_path())),
            by_hand: (0..threads).map(|_| by_hand()).collect(),
            ureq: peers::ureq(trust.map(|trust| &trust.certificate)),
            reqwest: peers::reqwest(trust.map(|trust| client(&trust.file)).as_ref()),
            domain,
        })
    }
}

/// A notifier for this domain, which trusts who is in that file.
pub fn notifier(domain: &str, trust: Option<&Path>) -> Notifier {
    let mut vars = vec![("OPTERYX_WEBHOOK_DOMAIN", domain)];
    if let Some(file) = trust {
        vars.push(("SSL_CERT_FILE", file.to_str().unwrap()));
    }
    Notifier::new(Config::from_vars(vars).unwrap())
}

/// What a client by hand connects with, given the file.
pub fn client(trust: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(trust).unwrap())
        .unwrap();
    Arc::new(trusting(roots))
}
