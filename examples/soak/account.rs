//! The account: what the sender was told of each event, beside what the receiver knows of it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use opteryx_webhooks::outbox::{OutboxFile, State};

use crate::came::Came;
use crate::plan::{ATTEMPTS, LANES};
use crate::records::{BROKEN, Key, Record, Records, STALLED};
use crate::{plan, sender};

/// How many events are named of each that is wrong.
const NAMED: usize = 3;

/// How many events are under way at once: one for each of the sender's threads, and the outbox's four.
const UNDER_WAY: u64 = LANES as u64 + 4;

/// The sums, and what does not add up.
#[derive(Default)]
pub(crate) struct Account {
    events: u64,
    /// Taken by the receiver, as it says.
    taken: u64,
    /// Dead letters, none of which it took.
    dead: u64,
    /// Failed, as far as the sender knows, and taken all the same.
    failed_but_taken: u64,
    /// Failed, and not taken.
    failed: u64,
    /// Taken more than once.
    repeated: u64,
    /// How often the machine let nobody run for so long that answers may have come too late.
    pauses: u64,
    /// Too late for their answers, with nothing at the receiver that explains it.
    late: (u64, Vec<String>),
    /// By what is wrong with them: how many, and the first few, with all that is known of them.
    unaccounted: BTreeMap<&'static str, (u64, Vec<String>)>,
}

/// A message that was given up.
#[derive(Debug)]
struct Letter {
    attempts: u64,
    reason: String,
}

impl Account {
    /// Goes through all events. What the run has left in its folder must be complete.
    pub(crate) fn of(folder: &Path, pauses: u64) -> io::Result<Account> {
        let records = Records::read(&folder.join(plan::RECORDS), LANES)?;
        let mut dead = dead_letters(&folder.join(plan::OUTBOX))?;
        let mut account = Account {
            pauses,
            ..Account::default()
        };
        for (lane, records) in records.iter().enumerate() {
            let outcomes = fs::read(sender::outcomes(folder, lane))?;
            for (number, outcome) in outcomes.iter().enumerate() {
                let key = Key { lane, number };
                let record = records.get(number).copied().unwrap_or_default();
                let letter = dead.remove(&(lane, number));
                account.enter(key, Came::from_byte(*outcome), &record, letter.as_ref());
            }
            for number in outcomes.len()..records.len() {
                account.wrong("arrived, but was never sent", &Key { lane, number });
            }
        }
        for (lane, number) in dead.into_keys() {
            account.wrong("is a dead letter, but was never sent", &(lane, number));
        }

        let mut ids: Vec<u128> = records
            .iter()
            .flatten()
            .filter(|record| record.seen > 0)
            .map(|record| record.id)
            .collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(io::Error::other("two events had the same webhook-id"));
        }
        Ok(account)
    }

    fn enter(&mut self, key: Key, came: Came, record: &Record, letter: Option<&Letter>) {
        let is_taken = record.taken > 0;
        self.events += 1;
        self.taken += u64::from(is_taken);
        if came.is_failure() {
            self.failed_but_taken += u64::from(is_taken);
            self.failed += u64::from(!is_taken);
        }
        self.repeated += u64::from(record.taken > 1);
        self.dead += u64::from(came == Came::Stored && !is_taken && letter.is_some());
        let problems = problems(came, record, letter);
        if !problems.is_empty() && problems.iter().all(|(_, by_a_pause)| *by_a_pause) {
            note(&mut self.late, &(key, came, record, letter));
            return;
        }
        for (problem, _) in problems {
            self.wrong(problem, &(key, came, record, letter));
        }
    }

    fn wrong(&mut self, problem: &'static str, event: &dyn fmt::Debug) {
        note(self.unaccounted.entry(problem).or_default(), event);
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        let problem = |(what, (count, named)): (_, &(u64, Vec<String>))| {
            let named = named.join("; ");
            format!("{count} unaccounted for: an event {what}, such as {named}")
        };
        // A pause can befall no more than what is under way.
        let is_too_late = self.late.0 > self.pauses * UNDER_WAY;
        let late = is_too_late.then_some(("came too late for its answer", &self.late));
        let wrong = self.unaccounted.iter().map(|(what, which)| (*what, which));
        wrong.chain(late).map(problem).collect()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events = {} taken + {} dead letters + {} failed; of those taken {} more than once, \
             {} told to the sender as failed",
            self.events, self.taken, self.dead, self.failed, self.repeated, self.failed_but_taken
        )?;
        if self.late.0 > 0 {
            let (late, pauses) = (self.late.0, self.pauses);
            write!(f, "; {late} too late, in {pauses} pauses of the machine")?;
        }
        Ok(())
    }
}

/// Counts an event among these, and names it if it is among the first.
fn note((count, named): &mut (u64, Vec<String>), event: &dyn fmt::Debug) {
    *count += 1;
    if named.len() < NAMED {
        named.push(format!("{event:?}"));
    }
}

/// What of an event's story does not fit together, and whether it would if the machine had let nobody
/// run for a while.
fn problems(came: Came, record: &Record, letter: Option<&Letter>) -> Vec<(&'static str, bool)> {
    let is_taken = record.taken > 0;
    let may_be_unheard = record.has(STALLED | BROKEN);
    let is_stored = came == Came::Stored;
    let is_rightly_dead =
        |letter: &Letter| letter.attempts >= ATTEMPTS || letter.reason.ends_with("answered 410");
    let is_timeout = came == Came::TimedOut;
    let problems = [
        (
            came == Came::Delivered && !is_taken,
            "was said to be delivered, but was never taken",
            false,
        ),
        (
            is_stored && !is_taken && letter.is_none(),
            "was stored, and is neither taken nor a dead letter",
            false,
        ),
        (
            came.is_failure() && !came.is_explained(record),
            "failed for a reason that nothing at the receiver explains",
            is_timeout,
        ),
        (
            came.is_failure() && is_taken && !may_be_unheard,
            "failed, though nothing kept its answer from arriving",
            is_timeout,
        ),
        (
            record.taken > 1 && !may_be_unheard,
            "was taken more than once, though nothing kept the first answer from arriving",
            true,
        ),
        (
            !is_stored && letter.is_some(),
            "is a dead letter, but was never stored",
            false,
        ),
        (
            letter.is_some_and(|letter| !is_rightly_dead(letter)),
            "was given up too soon",
            false,
        ),
    ];
    let wrong = problems.into_iter().filter(|(is_so, ..)| *is_so);
    wrong
        .map(|(_, what, by_a_pause)| (what, by_a_pause))
        .collect()
}

/// The dead letters of an outbox; none where there is no outbox.
fn dead_letters(file: &Path) -> io::Result<HashMap<(usize, usize), Letter>> {
    if !file.exists() {
        return Ok(HashMap::new());
    }
    let letters = OutboxFile::open(file)
        .and_then(|file| file.messages(Some(State::Dead), usize::MAX))
        .map_err(io::Error::other)?;
    let key = |subject: &str| Key::parse(subject.rsplit('/').next().unwrap_or_default());
    let letters = letters.into_iter().filter_map(|letter| {
        let key = key(&letter.subject)?;
        let reason = letter.last_error.unwrap_or_default();
        let attempts = letter.attempts;
        Some(((key.lane, key.number), Letter { attempts, reason }))
    });
    Ok(letters.collect())
}
