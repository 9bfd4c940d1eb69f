//! What the receiver answered, for whoever keeps a history of it.
//!
//! An outcome does not hold it, and most callers have no use for it. Who does says so around the
//! delivery, in the thread that makes it.

use std::cell::RefCell;

/// How much of an answer is kept, in bytes.
pub(crate) const MAX_EXCERPT: usize = 1024;

thread_local! {
    static HEARD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Runs a delivery, and returns the beginning of what the receiver answered, if it said anything.
#[cfg(feature = "outbox")]
pub(crate) fn heard<T>(deliver: impl FnOnce() -> T) -> (T, Option<String>) {
    HEARD.replace(Some(Vec::new()));
    let delivered = deliver();
    let heard = HEARD.take().unwrap_or_default();
    let text = String::from_utf8_lossy(&heard);
    (delivered, (!text.is_empty()).then(|| text.into_owned()))
}

/// Whether anyone listens in this thread.
pub(crate) fn is_wanted() -> bool {
    HEARD
        .try_with(|heard| heard.borrow().is_some())
        .unwrap_or(false)
}

/// Keeps the next bytes of the answer, as far as there is room and anyone listens.
pub(crate) fn keep(bytes: &[u8]) {
    // Nobody listens in a thread that is ending.
    let _ = HEARD.try_with(|heard| {
        if let Some(heard) = heard.borrow_mut().as_mut() {
            let room = MAX_EXCERPT.saturating_sub(heard.len());
            heard.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    });
}

#[cfg(all(test, feature = "outbox"))]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_while_somebody_listens() {
        keep(b"unheard");
        assert!(!is_wanted());
        let (value, answer) = heard(|| {
            assert!(is_wanted());
            keep(&[b'x'; MAX_EXCERPT - 1]);
            keep("é".as_bytes());
            7
        });
        assert_eq!(value, 7);
        let answer = answer.unwrap();
        assert!(answer.starts_with("xxx") && answer.ends_with("x\u{FFFD}"));
        assert_eq!(heard(|| ()).1, None);
    }
}
