//! The access token, from Google's credentials as Google's libraries find them.

use std::sync::Arc;

use gcloud_sdk::GoogleAuthHeaders;
use gcloud_sdk::error::ErrorKind;
use rustls::crypto::CryptoProvider;
use tonic::metadata::MetadataMap;

use super::reason::{excerpt, without_quotes};
use super::service::Failure;
use crate::error::{Chain, DeliveryError, Kind};

/// The variable that names a file of credentials, which Google's library reads.
const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Credentials, and the token that they keep fresh.
///
/// After a permanent error they never give a token again, so they are thrown away at any.
#[derive(Clone)]
pub(super) struct Credentials(Arc<GoogleAuthHeaders>);

impl Credentials {
    /// Finds them: the file of `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's, or the metadata server.
    pub(super) async fn find() -> Result<Credentials, Failure> {
        // Opening a pipe could wait for ever, and nobody could interrupt it.
        if let Some(file) = std::env::var_os(FILE)
            && std::fs::metadata(file).is_ok_and(|metadata| !metadata.is_file())
        {
            let reason = format!("{FILE} names something that is not a file");
            let error = DeliveryError::from(Kind::Credentials).with_source(reason);
            return Err(Failure::last(error));
        }
        // Google's library signs and connects with the process's default, and panics without one. A
        // host that makes its own choice at any time before the first event has made it for us, too.
        if CryptoProvider::get_default().is_none() {
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        // It also panics, in a task out of reach, where this fails: without a CA certificate.
        if let Err(error) = reqwest::Client::builder().build() {
            let error = DeliveryError::from(Kind::TrustStore).with_source(below(&error));
            return Err(Failure::last(error));
        }
        match GoogleAuthHeaders::from_adc().await {
            Ok(headers) => Ok(Credentials(Arc::new(headers))),
            Err(error) => Err(failure(error)),
        }
    }

    /// Whether these are the same, and not just alike.
    pub(super) fn is(&self, other: &Credentials) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What goes with a call.
    pub(super) async fn metadata(&self) -> Result<MetadataMap, Failure> {
        match self.0.headers().await {
            Ok(headers) => Ok(MetadataMap::from_headers((*headers).clone())),
            Err(error) => Err(failure(error)),
        }
    }
}

fn failure(error: gcloud_sdk::error::Error) -> Failure {
    let (is_transient, reason) = match error.kind() {
        ErrorKind::Credentials(error) => (error.is_transient(), below(error)),
        ErrorKind::CredentialsBuild(error) => (false, below(error)),
        _ => (false, below(&error)),
    };
    let error = DeliveryError::from(Kind::Credentials).with_source(reason);
    if is_transient {
        Failure::passing(error)
    } else {
        Failure::last(error)
    }
}

/// What Google's library quotes of an answer or a file may be a token or a key.
fn below(error: &dyn std::error::Error) -> String {
    excerpt(&without_quotes(&Chain(error).to_string()))
}
