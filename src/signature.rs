//! Signatures as Standard Webhooks makes them, and the secrets that make and check them.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{self, HMAC_SHA256};
use ring::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

/// How many bytes a symmetric secret may have
/// ([Standard Webhooks, signature scheme](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme)).
const SYMMETRIC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The length of an Ed25519 seed, in bytes (RFC 8032, 5.1.5).
const SEED_BYTES: usize = 32;

/// How many secrets a sender may have at once: two while one is being replaced, and some more.
/// Each adds up to 93 bytes to every message.
const MAX_SECRETS: usize = 8;

/// What a symmetric signature begins with: HMAC-SHA256.
const SYMMETRIC: &str = "v1";

/// What an asymmetric signature begins with: Ed25519.
const ASYMMETRIC: &str = "v1a";

/// A secret of [Standard Webhooks], parsed: it exists only if it can be used.
///
/// | begins with | what follows, in padded standard base64 | makes | checks |
/// | --- | --- | --- | --- |
/// | `whsec_` | 24 to 64 random bytes | `v1`, HMAC-SHA256 | `v1` |
/// | `whsk_` | an Ed25519 private key: its seed of 32 bytes, or seed and public key, 64 bytes | `v1a`, Ed25519 | `v1a` |
/// | `whpk_` | an Ed25519 public key, 32 bytes | nothing | `v1a` |
///
/// To sign 1 KB takes about 1 µs with a `whsec_` secret, and 35 µs with a `whsk_` one.
///
/// It is never shown: `Debug` says only which kind it is. The decoded bytes are wiped from memory
/// once the key is made of them; the key itself, which ring keeps, is not.
///
/// ```
/// use opteryx_webhooks::Secret;
///
/// let secret: Secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?;
/// let signature = secret.sign(
///     "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
///     1649367553,
///     br#"{"email":"test@example.com","username":"test_user"}"#,
/// )?;
/// assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
/// # Ok::<(), opteryx_webhooks::SecretError>(())
/// ```
///
/// [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
pub struct Secret(Key);

enum Key {
    Symmetric(hmac::Key),
    Private(Box<Ed25519KeyPair>),
    Public([u8; ED25519_PUBLIC_KEY_LEN]),
}

impl Secret {
    /// Signs a message as [Standard Webhooks] says: `v1,…` or `v1a,…`, for the header
    /// `webhook-signature` beside `webhook-id` and `webhook-timestamp`.
    ///
    /// A notifier signs by itself; this is for the tests of a receiver. The id must not contain a
    /// dot, and the timestamp is the attempt's, in Unix seconds.
    ///
    /// # Errors
    ///
    /// A public key cannot sign.
    ///
    /// [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
    pub fn sign(&self, id: &str, unix_seconds: u64, body: &[u8]) -> Result<String, SecretError> {
        if self.is_public() {
            return Err(SecretError(Problem::PublicKeySigns));
        }
        let mut signature = String::new();
        self.sign_into(&mut signature, id, &unix_seconds.to_string(), body);
        Ok(signature)
    }

    fn is_public(&self) -> bool {
        matches!(self.0, Key::Public(_))
    }

    /// Appends the signature; nothing where the secret is a public key.
    fn sign_into(&self, header: &mut String, id: &str, timestamp: &str, body: &[u8]) {
        match &self.0 {
            Key::Symmetric(key) => {
                // In parts, so that the body is not copied.
                let mut context = hmac::Context::with_key(key);
                for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                    context.update(part);
                }
                header.push_str(SYMMETRIC);
                header.push(',');
                STANDARD.encode_string(context.sign(), header);
            }
            Key::Private(pair) => {
                let signature = pair.sign(&signed_bytes(id, timestamp, body));
                header.push_str(ASYMMETRIC);
                header.push(',');
                STANDARD.encode_string(signature, header);
            }
            Key::Public(_) => {}
        }
    }

    /// Whether one signature, `v1,…` or `v1a,…`, is this secret's over these
    /// [bytes](signed_bytes). Compared in constant time.
    pub(crate) fn made(&self, signature: &str, signed: &[u8]) -> bool {
        let Some((version, encoded)) = signature.split_once(',') else {
            return false;
        };
        // Only the canonical encoding is taken: padded, without stray bits.
        let Ok(bytes) = STANDARD.decode(encoded) else {
            return false;
        };
        // The version must be the one of this kind of secret: a public key is known to everyone,
        // and would make a fine symmetric secret for a forger.
        let public_key = match (&self.0, version) {
            (Key::Symmetric(key), SYMMETRIC) => return hmac::verify(key, signed, &bytes).is_ok(),
            (Key::Private(pair), ASYMMETRIC) => pair.public_key().as_ref(),
            (Key::Public(public_key), ASYMMETRIC) => public_key.as_slice(),
            _ => return false,
        };
        ring::signature::UnparsedPublicKey::new(&ED25519, public_key)
            .verify(signed, &bytes)
            .is_ok()
    }
}

/// `{id}.{timestamp}.{body}`: what is signed.
pub(crate) fn signed_bytes(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), timestamp.as_bytes(), body].join(&b'.')
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Secret, SecretError> {
        let decode = |encoded: &str| {
            STANDARD
                .decode(encoded)
                .map(Zeroizing::new)
                .map_err(|_| SecretError(Problem::Base64))
        };
        if let Some(encoded) = text.strip_prefix("whsec_") {
            let bytes = decode(encoded)?;
            if !SYMMETRIC_BYTES.contains(&bytes.len()) {
                return Err(SecretError(Problem::SymmetricLength));
            }
            Ok(Secret(Key::Symmetric(hmac::Key::new(HMAC_SHA256, &bytes))))
        } else if let Some(encoded) = text.strip_prefix("whsk_") {
            let bytes = decode(encoded)?;
            // The specification says "standard ed25519 key pair" and no more: the Go library has
            // the seed alone, Svix has both halves.
            let pair = match bytes.len() {
                SEED_BYTES => Ed25519KeyPair::from_seed_unchecked(&bytes),
                length if length == SEED_BYTES + ED25519_PUBLIC_KEY_LEN => {
                    let (seed, public_key) = bytes.split_at(SEED_BYTES);
                    Ed25519KeyPair::from_seed_and_public_key(seed, public_key)
                }
                _ => return Err(SecretError(Problem::PrivateLength)),
            };
            pair.map(|pair| Secret(Key::Private(Box::new(pair))))
                .map_err(|_| SecretError(Problem::PrivateHalves))
        } else if let Some(encoded) = text.strip_prefix("whpk_") {
            <[u8; ED25519_PUBLIC_KEY_LEN]>::try_from(decode(encoded)?.as_slice())
                .map(|bytes| Secret(Key::Public(bytes)))
                .map_err(|_| SecretError(Problem::PublicLength))
        } else {
            Err(SecretError(Problem::Prefix))
        }
    }
}

/// The kind alone.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Key::Symmetric(_) => "Secret(whsec_…)",
            Key::Private(_) => "Secret(whsk_…)",
            Key::Public(_) => "Secret(whpk_…)",
        })
    }
}

/// Why something is no [`Secret`], or cannot be used as one. It never holds the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretError(Problem);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    None,
    TooMany,
    Prefix,
    Base64,
    SymmetricLength,
    PrivateLength,
    PrivateHalves,
    PublicLength,
    PublicKeySigns,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.0 {
            Problem::None => "there is no secret",
            Problem::TooMany => {
                return write!(f, "there are more than {MAX_SECRETS} secrets");
            }
            Problem::Prefix => {
                "a secret must begin with `whsec_`, `whsk_` or `whpk_`, several be separated by \
                 spaces"
            }
            Problem::Base64 => {
                "what follows a secret's prefix must be base64, in the standard alphabet and with \
                 its padding"
            }
            Problem::SymmetricLength => "a `whsec_` secret must be the base64 of 24 to 64 bytes",
            Problem::PrivateLength => {
                "a `whsk_` secret must be the base64 of an Ed25519 seed (32 bytes), or of seed and \
                 public key (64 bytes)"
            }
            Problem::PrivateHalves => {
                "the two halves of a `whsk_` secret, seed and public key, do not belong together"
            }
            Problem::PublicLength => {
                "a `whpk_` key must be the base64 of an Ed25519 public key (32 bytes)"
            }
            Problem::PublicKeySigns => {
                "a `whpk_` key is a public key, with which a receiver checks signatures; to sign \
                 takes its `whsk_` secret"
            }
        };
        f.write_str(problem)
    }
}

impl Error for SecretError {}

/// The secrets in a list that is separated by spaces, as `OPTERYX_WEBHOOK_SECRET` has them.
pub(crate) fn parse_secrets(list: &str) -> Result<Vec<Secret>, SecretError> {
    let secrets = list
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<Secret>, _>>()?;
    match secrets.len() {
        0 => Err(SecretError(Problem::None)),
        1..=MAX_SECRETS => Ok(secrets),
        _ => Err(SecretError(Problem::TooMany)),
    }
}

/// Whether this begins as a secret does, and so must not be shown wherever else it was given.
pub(crate) fn is_like_secret(text: &str) -> bool {
    ["whsec_", "whsk_"].into_iter().any(|prefix| {
        text.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })
}

/// What signs a notifier's messages: no secret, one, or several while one replaces another.
#[derive(Debug, Default)]
pub(crate) struct Signer(Vec<Secret>);

impl Signer {
    /// Parses the value of `OPTERYX_WEBHOOK_SECRET`.
    pub(crate) fn parse(list: &str) -> Result<Signer, SecretError> {
        let secrets = parse_secrets(list)?;
        if secrets.iter().any(Secret::is_public) {
            return Err(SecretError(Problem::PublicKeySigns));
        }
        Ok(Signer(secrets))
    }

    /// What each secret begins with, which says what kind it is.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|secret| match secret.0 {
            Key::Symmetric(_) => "whsec_",
            Key::Private(_) => "whsk_",
            Key::Public(_) => "whpk_",
        })
    }

    /// The header `webhook-signature`: one signature per secret, separated by spaces; none without
    /// a secret.
    pub(crate) fn signature(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
        let (first, others) = self.0.split_first()?;
        // One that is symmetric, or several of any kind, in one allocation.
        let mut header = String::with_capacity(48 + 93 * others.len());
        first.sign_into(&mut header, id, timestamp, body);
        for secret in others {
            header.push(' ');
            secret.sign_into(&mut header, id, timestamp, body);
        }
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn encoded(prefix: &str, bytes: &[u8]) -> String {
        format!("{prefix}{}", STANDARD.encode(bytes))
    }

    #[test]
    fn a_private_key_is_its_seed_or_both_halves() {
        // RFC 8032, 7.1, test 1: the empty message would need no id, so only the keys are its.
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec,
            0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03,
            0x1c, 0xae, 0x7f, 0x60,
        ];
        let public = [
            0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64,
            0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68,
            0xf7, 0x07, 0x51, 0x1a,
        ];
        let short: Secret = encoded("whsk_", &seed).parse().unwrap();
        let long: Secret = encoded("whsk_", &[seed, public].concat()).parse().unwrap();
        let checks: Secret = encoded("whpk_", &public).parse().unwrap();
        let signature = short.sign("id", 1, b"body").unwrap();
        assert_eq!(signature, long.sign("id", 1, b"body").unwrap());
        assert!(checks.made(&signature, b"id.1.body"));
        assert!(short.made(&signature, b"id.1.body"));
        assert!(!checks.made(&signature, b"id.1.bodY"));

        let foreign = [seed, seed].concat();
        let error = encoded("whsk_", &foreign).parse::<Secret>().unwrap_err();
        assert!(error.to_string().contains("halves"), "{error}");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        for text in [
            "".to_owned(),
            "whsec_".to_owned(),
            "whsk_".to_owned(),
            "whpk_".to_owned(),
            "C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
            "WHSEC_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
            // The alphabet of URLs, no padding, stray bits.
            "whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD".to_owned(),
            encoded("whsec_", &[7; 25]).trim_end_matches('=').to_owned(),
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAB==".to_owned(),
            encoded("whsec_", &[7; 23]),
            encoded("whsec_", &[7; 65]),
            encoded("whsk_", &[7; 33]),
            encoded("whpk_", &[7; 31]),
            encoded("whpk_", &[7; 64]),
        ] {
            let error = text.parse::<Secret>().unwrap_err();
            let shown = format!("{error} {error:?}");
            for leak in ["C2FV", "BwcH"] {
                assert!(!shown.contains(leak), "{text}: {shown}");
            }
        }
        for length in [24, 64] {
            assert!(
                encoded("whsec_", &vec![7; length])
                    .parse::<Secret>()
                    .is_ok()
            );
        }
        assert_eq!(
            format!("{:?}", KNOWN.parse::<Secret>().unwrap()),
            "Secret(whsec_…)"
        );
    }

    #[test]
    fn a_list_is_one_secret_or_several_and_not_too_many() {
        assert_eq!(parse_secrets(&[KNOWN; 8].join(" ")).unwrap().len(), 8);
        assert!(parse_secrets(&[KNOWN; 9].join(" ")).is_err());
        assert!(parse_secrets(" \t").is_err());
        assert!(parse_secrets(&format!("{KNOWN} hunter2")).is_err());
    }

    #[test]
    fn a_public_key_does_not_sign() {
        let public = encoded("whpk_", &[7; 32]);
        let error = Signer::parse(&format!("{KNOWN} {public}")).unwrap_err();
        assert!(error.to_string().contains("public key"), "{error}");
        let secret: Secret = public.parse().unwrap();
        assert!(secret.sign("id", 1, b"").is_err());
    }

    #[test]
    fn every_secret_signs() {
        let signer = Signer::parse(&format!("{KNOWN} {}", encoded("whsk_", &[7; 32]))).unwrap();
        let header = signer.signature("id", "1", b"body").unwrap();
        let versions: Vec<_> = header
            .split(' ')
            .map(|s| s.split_once(',').unwrap().0)
            .collect();
        assert_eq!(versions, ["v1", "v1a"]);
        assert_eq!(Signer::default().signature("id", "1", b"body"), None);
    }
}
