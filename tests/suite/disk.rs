//! The disks that crash, fill up and fail are themselves in order: bare SQLite keeps on them what it
//! promises to keep, and loses there what it does not promise.

use std::path::Path;
use std::thread;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use crate::support::disk::small::{self, SmallDisk, Way};
use crate::support::disk::{self, Crash, Disk};

/// Enough for a checkpoint in the middle and frames on both sides of it.
const ROWS: i64 = 12;

const TABLE: &str =
    "CREATE TABLE event (id INTEGER PRIMARY KEY, body BLOB NOT NULL, attempts INTEGER NOT NULL)";

/// What each crash is taken for.
const CRASHES: [Crash; 7] = [
    Crash::Process,
    Crash::Torn(1),
    Crash::Torn(2),
    Crash::Power,
    Crash::PowerShuffled(1),
    Crash::PowerShuffled(2),
    Crash::PowerShuffled(3),
];

/// A connection in WAL mode.
fn open(path: &Path, synchronous: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    Ok(connection)
}

fn body(id: i64) -> Vec<u8> {
    let byte = u8::try_from(id % 251).expect("less than 251");
    vec![byte; 700]
}

fn insert(connection: &Connection, id: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("INSERT INTO event VALUES (?, ?, 0)")?
        .execute(params![id, body(id)])
}

/// Inserts rows while a second connection changes them, and goes on though a row fails; `failed` learns of
/// it. Returns the rows whose insertion was acknowledged.
fn workload(path: &Path, synchronous: &str, mut failed: impl FnMut(rusqlite::Error)) -> Vec<i64> {
    let mut acknowledged = Vec::new();
    let mut work = || -> rusqlite::Result<()> {
        let notify = open(path, synchronous)?;
        notify.execute(TABLE, ())?;
        let worker = open(path, "NORMAL")?;
        for id in 1..=ROWS {
            match insert(&notify, id) {
                Ok(_) => acknowledged.push(id),
                Err(e) => failed(e),
            }
            let attempt = worker
                .prepare_cached("UPDATE event SET attempts = attempts + 1 WHERE id < ?")?
                .execute([id]);
            if let Err(e) = attempt {
                failed(e);
            }
            if id == ROWS / 2 {
                // A checkpoint that fails is no loss.
                let _ = notify.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
            }
        }
        Ok(())
    };
    if let Err(e) = work() {
        failed(e);
    }
    acknowledged
}

/// What is wrong with a database that was told of these rows, and goes on to be used.
fn look(path: &Path, acknowledged: &[i64]) -> Result<(), String> {
    let look = || -> rusqlite::Result<Result<(), String>> {
        let connection = open(path, "FULL")?;
        let integrity: String =
            connection.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
        if integrity != "ok" {
            return Ok(Err(integrity));
        }
        for id in acknowledged {
            let kept: Option<Vec<u8>> = connection
                .query_row("SELECT body FROM event WHERE id = ?", [id], |row| {
                    row.get(0)
                })
                .optional()?;
            if kept != Some(body(*id)) {
                return Ok(Err(format!(
                    "row {id} of {} is lost or wrong",
                    acknowledged.len()
                )));
            }
        }
        connection.execute_batch("CREATE TABLE IF NOT EXISTS later (id INTEGER PRIMARY KEY)")?;
        Ok(Ok(()))
    };
    look().map_err(|e| e.to_string())?
}

/// Goes through the workload with a crash at every operation, each taken for each of `crashes`. Returns
/// how many operations there are and what was wrong with the survivors.
fn crash_everywhere(
    disks: &disk::Disks,
    synchronous: &str,
    crashes: &[Crash],
) -> (u64, Vec<String>) {
    let mut wrong = Vec::new();
    for n in 1.. {
        let disk = disks.empty();
        disk.crash_at(n);
        let acknowledged = workload(&disk.path("db"), synchronous, |_| {});
        if !disk.was_struck() {
            assert_eq!(acknowledged.len() as i64, ROWS);
            return (n - 1, wrong);
        }
        for crash in crashes {
            let survivor = disk.survivor(*crash);
            if let Err(what) = look(&survivor.path("db"), &acknowledged) {
                wrong.push(format!("{crash:?} at {n}: {what}"));
            }
        }
    }
    unreachable!("the workload ends")
}

#[test]
fn what_sqlite_acknowledged_survives_a_crash_at_every_operation() {
    disk::run(
        "disk::what_sqlite_acknowledged_survives_a_crash_at_every_operation",
        |disks| {
            let (operations, wrong) = crash_everywhere(disks, "FULL", &CRASHES);
            assert!(operations > 100, "{operations} operations only");
            assert!(wrong.is_empty(), "{wrong:#?}");
        },
    );
}

#[test]
fn what_was_not_synced_is_lost_with_the_power_and_with_nothing_less() {
    disk::run(
        "disk::what_was_not_synced_is_lost_with_the_power_and_with_nothing_less",
        |disks| {
            let (_, wrong) = crash_everywhere(disks, "OFF", &[Crash::Process]);
            assert!(wrong.is_empty(), "{wrong:#?}");
            for crash in [Crash::Power, Crash::PowerShuffled(1)] {
                let (_, wrong) = crash_everywhere(disks, "OFF", &[crash]);
                assert!(wrong.len() > 10, "{wrong:#?}");
            }
            // Nor does NORMAL promise more than a file that is whole.
            let (_, wrong) = crash_everywhere(disks, "NORMAL", &[Crash::Power]);
            assert!(!wrong.is_empty());
            let is_whole = |what: &String| what.contains("lost") || what.contains("no such table");
            assert!(wrong.iter().all(is_whole), "{wrong:#?}");
        },
    );
}

#[test]
fn a_crash_while_a_crash_is_recovered_from_loses_nothing_either() {
    disk::run(
        "disk::a_crash_while_a_crash_is_recovered_from_loses_nothing_either",
        |disks| {
            // Some way into the second half, with a log to recover from.
            let at = {
                let whole = disks.empty();
                workload(&whole.path("db"), "FULL", |_| {});
                whole.operations() * 7 / 8
            };
            let disk = disks.empty();
            disk.crash_at(at);
            let acknowledged = workload(&disk.path("db"), "FULL", |_| {});
            assert!(disk.was_struck() && acknowledged.len() as i64 > ROWS / 2);
            for first in CRASHES {
                for n in 1.. {
                    let again = disk.survivor(first);
                    again.crash_at(n);
                    let _ = look(&again.path("db"), &acknowledged);
                    if !again.was_struck() {
                        assert!(n > 5, "{n} operations only");
                        break;
                    }
                    for second in CRASHES {
                        let survivor = again.survivor(second);
                        let fine = look(&survivor.path("db"), &acknowledged);
                        assert_eq!(fine, Ok(()), "{first:?} at {at}, {second:?} at {n}");
                    }
                }
            }
        },
    );
}

/// Two threads, two connections, one file: rows are inserted by one and changed by the other at once.
fn at_once(path: &Path, rows: i64) -> Vec<i64> {
    let mut acknowledged = Vec::new();
    let mut work = || -> rusqlite::Result<()> {
        let notify = open(path, "FULL")?;
        notify.execute(TABLE, ())?;
        let worker = open(path, "NORMAL")?;
        thread::scope(|scope| {
            let updating = scope.spawn(move || {
                for id in 1..=rows {
                    worker.execute(
                        "UPDATE event SET attempts = attempts + 1 WHERE id <= ?",
                        [id],
                    )?;
                }
                Ok::<_, rusqlite::Error>(worker)
            });
            for id in 1..=rows {
                if insert(&notify, id).is_ok() {
                    acknowledged.push(id);
                }
            }
            updating
                .join()
                .expect("the worker does not panic")
                .map(drop)
        })
    };
    // What fails after a crash says nothing new.
    let _ = work();
    acknowledged
}

#[test]
fn two_connections_in_two_threads_share_a_disk_that_crashes() {
    disk::run(
        "disk::two_connections_in_two_threads_share_a_disk_that_crashes",
        |disks| {
            const MANY: i64 = 40;
            let whole = disks.empty();
            assert_eq!(at_once(&whole.path("db"), MANY).len() as i64, MANY);
            let operations = whole.operations();
            for n in (1..operations).step_by(17) {
                let disk = disks.empty();
                disk.crash_at(n);
                let acknowledged = at_once(&disk.path("db"), MANY);
                for crash in CRASHES {
                    let fine = look(&disk.survivor(crash).path("db"), &acknowledged);
                    assert_eq!(fine, Ok(()), "{crash:?} at {n}");
                }
            }
        },
    );
}

/// Goes through the workload with the fault at every operation; afterwards the disk works again, and the
/// same rows and one more must be there. Returns the kinds of error that were seen.
fn strike_everywhere(disks: &disk::Disks, fault: impl Fn(&Disk, u64)) -> Vec<ErrorCode> {
    let mut codes = Vec::new();
    for n in 1.. {
        let disk = disks.empty();
        fault(&disk, n);
        let mut acknowledged = workload(&disk.path("db"), "FULL", |e| {
            codes.extend(e.sqlite_error_code());
        });
        let was_struck = disk.was_struck();
        disk.works_again();
        let connection = open(&disk.path("db"), "FULL").expect("the disk works again");
        if insert(&connection, ROWS + 1).is_ok() {
            acknowledged.push(ROWS + 1);
        } else {
            assert!(acknowledged.is_empty(), "there was a table");
        }
        drop(connection);
        assert_eq!(look(&disk.path("db"), &acknowledged), Ok(()), "at {n}");
        for crash in [Crash::Process, Crash::Power] {
            let survivor = disk.survivor(crash);
            let fine = look(&survivor.path("db"), &acknowledged);
            assert_eq!(fine, Ok(()), "at {n}, then {crash:?}");
        }
        if !was_struck {
            break;
        }
    }
    codes.sort_by_key(|code| format!("{code:?}"));
    codes.dedup();
    codes
}

#[test]
fn a_disk_that_fills_up_at_any_operation_takes_rows_again_later() {
    disk::run(
        "disk::a_disk_that_fills_up_at_any_operation_takes_rows_again_later",
        |disks| {
            let codes = strike_everywhere(disks, Disk::full_at);
            assert!(codes.contains(&ErrorCode::DiskFull), "{codes:?}");
        },
    );
}

#[test]
fn any_one_failing_operation_costs_no_acknowledged_row() {
    disk::run(
        "disk::any_one_failing_operation_costs_no_acknowledged_row",
        |disks| {
            let codes = strike_everywhere(disks, Disk::fail_at);
            assert!(codes.contains(&ErrorCode::SystemIoFailure), "{codes:?}");
        },
    );
}

#[test]
fn an_operation_that_is_to_fail_fails_alone() {
    disk::run("disk::an_operation_that_is_to_fail_fails_alone", |disks| {
        let disk = disks.empty();
        disk.fail_at(2);
        let path = disk.path("file");
        let errno = std::fs::write(&path, "lost").unwrap_err().raw_os_error();
        assert_eq!(errno, Some(5), "EIO");
        std::fs::write(&path, "kept").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
        // Created, refused, truncated, written.
        assert_eq!(disk.operations(), 4);

        disk.crash_at(5);
        let errno = std::fs::remove_file(&path).unwrap_err().raw_os_error();
        assert_eq!(errno, Some(5), "EIO");
        assert!(std::fs::read(&path).is_err(), "the process is dead");
        let kept = disk.survivor(Crash::Process);
        assert_eq!(std::fs::read(kept.path("file")).unwrap(), b"kept");
        assert!(!disk.survivor(Crash::Power).path("file").exists());
    });
}

/// Inserts until the disk is full, makes room, and inserts more.
fn fill_up(disk: &SmallDisk) {
    let path = disk.path("db");
    let connection = open(&path, "FULL").expect("there is room for a database");
    connection
        .execute(TABLE, ())
        .expect("there is room for a table");
    let mut acknowledged = Vec::new();
    let refused = loop {
        let id = acknowledged.len() as i64 + 1;
        match insert(&connection, id) {
            Ok(_) => acknowledged.push(id),
            Err(e) => break e,
        }
    };
    let code = match disk.way() {
        Way::Tmpfs => ErrorCode::DiskFull,
        Way::FileLimit => ErrorCode::SystemIoFailure,
    };
    assert_eq!(refused.sqlite_error_code(), Some(code), "{refused}");
    assert!(acknowledged.len() > 10);

    disk.fill();
    disk.make_room();
    let id = acknowledged.len() as i64 + 1;
    insert(&connection, id).expect("there is room again");
    acknowledged.push(id);
    drop(connection);
    assert_eq!(look(&path, &acknowledged), Ok(()));
}

#[test]
fn a_real_file_system_that_is_full_takes_rows_again_once_there_is_room() {
    small::run(
        "disk::a_real_file_system_that_is_full_takes_rows_again_once_there_is_room",
        512 * 1024,
        fill_up,
    );
}

#[test]
fn a_file_that_may_grow_no_further_takes_rows_again_once_it_may() {
    small::run_limited(
        "disk::a_file_that_may_grow_no_further_takes_rows_again_once_it_may",
        512 * 1024,
        fill_up,
    );
}
