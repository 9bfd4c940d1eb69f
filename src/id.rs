//! What a message is known by.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

use crate::process::PerProcess;

/// `evt_` and the 32 hexadecimal digits of a random UUID, version 4 of
/// [RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(Uuid);

impl Id {
    const PREFIX: &str = "evt_";

    /// Appends it as text.
    pub(crate) fn push_to(self, text: &mut String) {
        text.push_str(Id::PREFIX);
        text.push_str(self.0.simple().encode_lower(&mut [0; 32]));
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Id::PREFIX)?;
        self.0.simple().fmt(f)
    }
}

/// Where ids come from.
///
/// To ask the operating system for each takes longer than to encode an event, so that it is asked once
/// for a seed. A forked child has one of its own: it would draw the same ids as its parent.
pub(crate) struct Ids(PerProcess<Seed>);

struct Seed {
    random: [u64; 2],
    hasher: RandomState,
    drawn: Drawn,
}

/// How many were drawn, on cache lines of its own: each event writes here, and reads what stands beside.
#[derive(Default)]
#[repr(align(128))]
struct Drawn(AtomicU64);

impl Ids {
    pub(crate) fn new() -> Ids {
        Ids(PerProcess::new())
    }

    /// Another one, at this moment: a snapshot of a process that is restored twice would draw the same
    /// ids twice but for that.
    pub(crate) fn draw(&self, now: SystemTime) -> Id {
        let seed = self.0.get();
        let drawn = seed.drawn.0.fetch_add(1, Ordering::Relaxed);
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let moment = since.as_secs() << 30 | u64::from(since.subsec_nanos());
        // SipHash is a pseudorandom function: what it makes of a number is as good as drawn. The other
        // half is this process's own, and the moment's; nobody can tell it from a drawn one either.
        let first = seed.hasher.hash_one(seed.random[0].wrapping_add(drawn));
        let second = seed.random[1].wrapping_add(moment) ^ first.rotate_left(32);
        let random = u128::from(first) << 64 | u128::from(second);
        Id(uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid())
    }
}

impl Default for Seed {
    /// Where the operating system gives no random bytes, ids that are unique all the same are better
    /// than events that are lost for want of one.
    fn default() -> Seed {
        // Seeded by the operating system, once for each thread, and stepped at every use: a child that
        // was forked would go on with its parent's.
        let hasher = RandomState::new();
        let mut random = [[0; 8]; 2];
        if SystemRandom::new().fill(random.as_flattened_mut()).is_err() {
            let moment = (SystemTime::now(), std::process::id());
            random = [0, 1].map(|half| hasher.hash_one((half, moment)).to_ne_bytes());
        }
        Seed {
            random: random.map(u64::from_ne_bytes),
            hasher,
            drawn: Drawn::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_are_random_uuids() {
        let (sources, now) = ([Ids::new(), Ids::new()], SystemTime::now());
        let ids: HashSet<_> = (0..1000)
            .flat_map(|_| sources.iter().map(|ids| ids.draw(now)))
            .collect();
        assert_eq!(ids.len(), 2000);
        // Each bit that is not the version's is set in about half of them.
        let mut set = [0; 128];
        for id in ids {
            let mut text = String::new();
            id.push_to(&mut text);
            assert_eq!(text, id.to_string());
            let uuid: Uuid = text.strip_prefix("evt_").unwrap().parse().unwrap();
            assert_eq!(uuid.get_version(), Some(uuid::Version::Random));
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            (0..128).for_each(|bit| set[bit] += uuid.as_u128() >> bit & 1);
        }
        let fixed = |bit| (62..64).contains(&bit) || (76..80).contains(&bit);
        for (bit, set) in set.into_iter().enumerate().filter(|(bit, _)| !fixed(*bit)) {
            assert!((800..1200).contains(&set), "bit {bit}: {set} of 2000");
        }
    }

    #[test]
    fn a_process_that_is_restored_twice_draws_other_ids_each_time() {
        let ids = Ids::new();
        let seed = ids.0.get();
        let (now, drawn) = (SystemTime::now(), seed.drawn.0.load(Ordering::Relaxed));
        let first = ids.draw(now);
        seed.drawn.0.store(drawn, Ordering::Relaxed);
        assert_ne!(first, ids.draw(now + Duration::from_nanos(1)));
    }
}
