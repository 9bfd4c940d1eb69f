//! What the receiver knows of each event: kept in its process, and written to a file at the end.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One event: which of the sender's threads brought it, and which of that thread's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) lane: usize,
    pub(crate) number: usize,
}

/// The event was answered when the sender may have gone, or is still to be.
pub(crate) const STALLED: u8 = 1;
/// The connection ended under it, so that the sender may not have had the answer.
pub(crate) const BROKEN: u8 = 2;
/// The answer's head was cut off.
pub(crate) const HALVED: u8 = 4;
/// It was refused with 503.
pub(crate) const UNAVAILABLE: u8 = 8;
/// It was refused with 429.
pub(crate) const TOO_MANY: u8 = 16;
/// It was refused with 410.
pub(crate) const GONE: u8 = 32;

/// The bit of a status; none of those that the receiver never answers with.
pub(crate) fn refused(status: u16) -> u8 {
    match status {
        503 => UNAVAILABLE,
        429 => TOO_MANY,
        410 => GONE,
        _ => 0,
    }
}

/// What befell an event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    /// Its `webhook-id`, as a number.
    pub(crate) id: u128,
    /// How often it arrived.
    pub(crate) seen: u32,
    /// How often it was answered with 2xx.
    pub(crate) taken: u32,
    /// The bits above.
    pub(crate) befell: u8,
}

impl Record {
    pub(crate) fn has(&self, bits: u8) -> bool {
        self.befell & bits != 0
    }
}

/// The records of all events, by lane and number.
pub(crate) struct Records {
    lanes: Vec<Mutex<Vec<Record>>>,
}

impl Key {
    /// As it stands in the event's name.
    pub(crate) fn parse(name: &str) -> Option<Key> {
        let (lane, number) = name.split_once('-')?;
        Some(Key {
            lane: lane.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl Records {
    pub(crate) fn new(lanes: usize) -> Records {
        Records {
            lanes: (0..lanes).map(|_| Mutex::default()).collect(),
        }
    }

    /// Changes an event's record; none where there is no such lane.
    pub(crate) fn update<T>(&self, key: Key, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let mut lane = lock(self.lanes.get(key.lane)?);
        if lane.len() <= key.number {
            lane.resize(key.number + 1, Record::default());
        }
        Some(change(&mut lane[key.number]))
    }

    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(file)?);
        for lane in &self.lanes {
            let lane = lock(lane);
            file.write_all(&(lane.len() as u64).to_le_bytes())?;
            for record in lane.iter() {
                file.write_all(&record.id.to_le_bytes())?;
                file.write_all(&record.seen.to_le_bytes())?;
                file.write_all(&record.taken.to_le_bytes())?;
                file.write_all(&[record.befell])?;
            }
        }
        file.flush()
    }

    /// What was written, one list for each lane.
    pub(crate) fn read(file: &Path, lanes: usize) -> io::Result<Vec<Vec<Record>>> {
        fn next<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
            let mut bytes = [0; N];
            file.read_exact(&mut bytes).map(|()| bytes)
        }
        let mut file = BufReader::new(File::open(file)?);
        let mut read = Vec::new();
        for _ in 0..lanes {
            let length = u64::from_le_bytes(next(&mut file)?);
            let mut lane = Vec::new();
            for _ in 0..length {
                lane.push(Record {
                    id: u128::from_le_bytes(next(&mut file)?),
                    seen: u32::from_le_bytes(next(&mut file)?),
                    taken: u32::from_le_bytes(next(&mut file)?),
                    befell: next::<1>(&mut file)?[0],
                });
            }
            read.push(lane);
        }
        Ok(read)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
