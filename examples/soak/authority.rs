//! A certificate authority for one run, and what the receiver shows that it vouches for.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Makes an authority, writes its certificate to a file, for `SSL_CERT_FILE`, and returns the
/// receiver's side of TLS for `localhost`.
pub(crate) fn receivers_side(file: &Path) -> Result<Arc<ServerConfig>, Box<dyn Error>> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "the soak's authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(file, issuer.pem())?;

    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params
        .distinguished_name
        .push(DnType::CommonName, "the soak's receiver");
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(Arc::new(config))
}
