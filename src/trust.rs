//! The CA certificates that servers are judged by.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls_native_certs::{CertificateResult, load_certs_from_paths};

use crate::error::{DeliveryError, Kind};

const FILE: &str = "SSL_CERT_FILE";
const VARIABLES: [&str; 2] = [FILE, "SSL_CERT_DIR"];

/// Where the CA certificates are: `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set, else
/// wherever the system has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    file: Option<PathBuf>,
    dirs: Vec<PathBuf>,
    /// The one of the two that is blank or not trimmed, which is nothing here and a path elsewhere.
    #[cfg(feature = "cloud-tasks")]
    pub(crate) untidy: Option<&'static str>,
}

impl Trust {
    /// Takes the variable if it is one of these two.
    pub(crate) fn take(&mut self, name: &str, value: &OsString) -> bool {
        let Some(known) = VARIABLES.into_iter().find(|known| *known == name) else {
            return false;
        };
        let text = value.to_str();
        #[cfg(feature = "cloud-tasks")]
        if text.is_some_and(|text| text.is_empty() || text.trim() != text) {
            self.untidy = Some(known);
        }
        if text.is_some_and(|text| text.trim().is_empty()) {
            return true;
        }
        if known == FILE {
            self.file = Some(path(value));
        } else {
            // A list, as OpenSSL has it.
            let parts = env::split_paths(value).filter(|part| !part.as_os_str().is_empty());
            self.dirs = parts.map(|part| path(part.as_os_str())).collect();
        }
        true
    }

    /// The files and directories that were named, if any were.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Path> {
        let paths = self.file.iter().chain(&self.dirs);
        paths.map(PathBuf::as_path)
    }

    /// The certificates; at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, DeliveryError> {
        let mut found = CertificateResult::default();
        if self.file.is_none() && self.dirs.is_empty() {
            found = system();
        }
        if let Some(file) = &self.file {
            // Reading a pipe or a device might never end.
            match fs::metadata(file) {
                Ok(metadata) if !metadata.is_file() => {
                    let error = io::Error::other(format!("{} is not a file", file.display()));
                    return Err(DeliveryError::from(Kind::TrustStore).with_source(error));
                }
                _ => add(&mut found, load_certs_from_paths(Some(file), None)),
            }
        }
        // What was named is wanted: a directory beside it is no excuse for a file that is wrong.
        if found.certs.is_empty() && self.file.is_some() {
            return Err(none_in(found));
        }
        for dir in &self.dirs {
            add(&mut found, load_certs_from_paths(None, Some(dir)));
        }
        if found.certs.is_empty() {
            Err(none_in(found))
        } else {
            Ok(found.certs)
        }
    }
}

/// Trimmed, as all values are, where that can be.
fn path(value: &std::ffi::OsStr) -> PathBuf {
    value
        .to_str()
        .map_or_else(|| PathBuf::from(value), |value| PathBuf::from(value.trim()))
}

fn add(found: &mut CertificateResult, more: CertificateResult) {
    found.certs.extend(more.certs);
    found.errors.extend(more.errors);
}

fn none_in(found: CertificateResult) -> DeliveryError {
    let error = DeliveryError::from(Kind::TrustStore);
    match found.errors.into_iter().next() {
        Some(below) => error.with_source(below),
        None => error,
    }
}

/// Where OpenSSL would look. Not `load_native_certs`, which takes a blank variable for a file.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn system() -> CertificateResult {
    let places = openssl_probe::probe();
    let file: Option<&Path> = places.cert_file.as_deref().filter(|file| file.is_file());
    let mut found = file.map_or_else(CertificateResult::default, |file| {
        load_certs_from_paths(Some(file), None)
    });
    if found.certs.is_empty() {
        for dir in &places.cert_dir {
            add(&mut found, load_certs_from_paths(None, Some(dir)));
        }
    }
    found
}

#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn system() -> CertificateResult {
    rustls_native_certs::load_native_certs()
}
