//! What is asked before an event is read: whether it is authentic, and whether it has come before.

use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use opteryx_webhooks::receiver::{SeenIds, Verifier};

use super::reply::Answer;

/// How many ids are remembered at least; at most it is twice as many.
const REMEMBERED: usize = 10_000;

/// Who is let in.
pub(crate) struct Admission {
    verifier: Option<Verifier>,
    seen: SeenIds,
}

impl Admission {
    /// With a verifier only what it takes is let in, without one everybody is.
    pub(crate) fn new(verifier: Option<Verifier>) -> Admission {
        Admission {
            verifier,
            seen: SeenIds::new(REMEMBERED),
        }
    }

    /// Lets in what is authentic. Not a byte of the body has been parsed by then.
    pub(crate) fn verify(&self, head: &Parts, body: Result<&[u8], Answer>) -> Result<(), Answer> {
        let Some(verifier) = &self.verifier else {
            return Ok(());
        };
        match verifier.authenticate(&head.headers, body?) {
            Ok(_) => Ok(()),
            Err(error) => {
                log::warn!("refused: {error}");
                Err(Answer::Unauthorized)
            }
        }
    }

    /// Whether a message with this id has come before; from now on it has.
    pub(crate) fn is_repeated(&self, head: &Parts) -> bool {
        message_id(head).is_some_and(|id| !self.seen.insert(&id))
    }

    /// Lets the message come again, because it could not be dealt with.
    pub(crate) fn forget(&self, head: &Parts) {
        if let Some(id) = message_id(head) {
            self.seen.remove(&id);
        }
    }
}

/// The header `webhook-id` as Werkzeug sees it: several are joined, and bytes are Latin-1.
fn message_id(head: &Parts) -> Option<String> {
    let ids = head.headers.get_all("webhook-id").iter();
    let ids: Vec<_> = ids.map(HeaderValue::as_bytes).collect();
    let id: String = ids.join(&b',').into_iter().map(char::from).collect();
    Some(id).filter(|id| !id.is_empty())
}
