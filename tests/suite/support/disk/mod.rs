//! Disks that crash, lose power, fill up and fail, for whatever a test writes to them with SQLite or
//! `std::fs`. Linux with glibc only.
//!
//! A disk is a folder. A test that wants some runs itself again as a child ([`run`]), into which
//! `preload.c`, compiled at the first use by the C compiler that the bundled SQLite was built with, is
//! preloaded. There every *operation* on a file of a disk (a creation, write, truncation, sync, deletion
//! or renaming) is counted from 1, written down, and failed if the test wants it failed. So the store
//! under test runs on SQLite's own VFS with its real locks and its real wal-index, as many connections
//! and threads as it likes, and needs no seam for it.
//!
//! What a crash leaves is worked out from what was written down ([`Disk::survivor`]) and put on a fresh
//! disk, which can crash in its turn. Syncs are counted and never carried out, so all this is fast.
//!
//! The model of what power loss leaves, which is a journalling file system's:
//!
//! - A file is as it was at its last sync; or, with [`Crash::PowerShuffled`], each of its 512-byte sectors
//!   is, independently, as it was after any of the writes since then. What a truncation has cut off does
//!   not come back once the truncation itself has come to the disk.
//! - A creation, deletion or renaming lasts once the folder is synced; a creation, and all before it,
//!   also once the file is. Without that it is undone; with `PowerShuffled`, the latest of them are.
//!
//! The module needs [`child`](super::child) beside it. In the library's own unit tests:
//!
//! ```ignore
//! #[cfg(all(test, target_os = "linux", target_env = "gnu"))]
//! #[path = "../tests/suite/support/child.rs"]
//! #[allow(dead_code, unreachable_pub)]
//! mod child;
//! #[cfg(all(test, target_os = "linux", target_env = "gnu"))]
//! #[path = "../tests/suite/support/disk/mod.rs"]
//! mod disk;
//! ```

#![allow(dead_code, unreachable_pub)]

mod history;
pub mod small;

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::child;
use history::{Files, History};

const PRELOAD: &str = include_str!("preload.c");
/// Where the disks' folders, their control words and their logs are.
const ROOT: &str = "DISK_ROOT";

/// How many disks one child may make; as in preload.c.
const DISKS: u64 = 65_536;
/// The control words of a disk: operations, fault, at, struck.
const WORDS: u64 = 4;
const WORD: u64 = size_of::<u64>() as u64;

/// What happens to a disk; the numbers are preload.c's.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None = 0,
    Crash = 1,
    Full = 2,
    Fail = 3,
}

/// What a crash was, which decides what it leaves. The `-shm` of a SQLite database never survives.
#[derive(Clone, Copy, Debug)]
pub enum Crash {
    /// The process died: what was written stays.
    Process,
    /// The process died in the middle of the operation: if that was a write, some of its first bytes,
    /// how many depends on the seed, stay as well.
    Torn(u64),
    /// The power went, and nothing stays but what was synced.
    Power,
    /// The power went, and of what was not synced something stays, what depends on the seed.
    PowerShuffled(u64),
}

/// Runs the test of this name (as `cargo test` shows it) again in a child process, and there the body.
///
/// To be called from that test, as the only thing it does.
pub fn run(test: &str, body: impl FnOnce(&Disks)) {
    if child::is_child() {
        let root = std::env::var_os(ROOT).expect("a child of `run`");
        return body(&Disks {
            root: root.into(),
            made: Arc::new(AtomicU64::new(0)),
        });
    }
    let root = Folder::new("disks");
    for below in ["disk", "log", "staging"] {
        fs::create_dir(root.0.join(below)).expect("a folder can be made");
    }
    let control = File::create(root.0.join("control")).expect("a file can be made");
    control
        .set_len(DISKS * WORDS * WORD)
        .expect("a sparse file can be made");
    let preload = preload().into_os_string();
    child::run(
        test,
        [
            ("LD_PRELOAD", preload),
            (ROOT, root.0.clone().into_os_string()),
        ],
    );
}

/// Without the wal-index, which is memory that two processes share.
fn lasting(mut files: Files) -> Files {
    files.retain(|name, _| !name.ends_with("-shm"));
    files
}

/// preload.c, compiled, beside this program.
fn preload() -> PathBuf {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(compile).clone()
}

fn compile() -> PathBuf {
    let program = std::env::current_exe().expect("the suite is a file");
    let mut hasher = DefaultHasher::new();
    PRELOAD.hash(&mut hasher);
    let library = program.with_file_name(format!("disk-{:016x}.so", hasher.finish()));
    if library.exists() {
        return library;
    }
    // Under a name of its own first, for another process may be at the same.
    let source = library.with_extension(format!("{}.c", std::process::id()));
    let made = library.with_extension(format!("{}.so", std::process::id()));
    fs::write(&source, PRELOAD).expect("the target folder can be written");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut words = compiler.split_whitespace();
    let output = Command::new(words.next().expect("CC names a compiler"))
        .args(words)
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&made, &source])
        .args(["-ldl", "-lpthread"])
        .output()
        .unwrap_or_else(|e| panic!("{compiler:?}: {e}: install a C compiler, or name it in CC"));
    assert!(
        output.status.success(),
        "{compiler:?} cannot compile preload.c:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::remove_file(&source).expect("the target folder can be written");
    fs::rename(&made, &library).expect("the target folder can be written");
    library
}

/// Makes disks, in the child.
#[derive(Clone)]
pub struct Disks {
    root: PathBuf,
    made: Arc<AtomicU64>,
}

impl Disks {
    /// An empty disk.
    pub fn empty(&self) -> Disk {
        self.with(Files::new())
    }

    /// A disk with these files, as if they had always been there.
    fn with(&self, files: Files) -> Disk {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        assert!(number < DISKS, "no more than {DISKS} disks in one test");

        // Filled elsewhere, so that the filling is no operation.
        let staging = self.root.join("staging").join(number.to_string());
        let folder = self.root.join("disk").join(number.to_string());
        fs::create_dir(&staging).expect("a folder can be made");
        for (name, content) in &files {
            fs::write(staging.join(name), content).expect("a file can be written");
        }
        fs::rename(&staging, &folder).expect("a folder can be renamed");
        let log = self.root.join("log").join(number.to_string());
        File::create(&log).expect("a file can be made");
        let control = File::options()
            .read(true)
            .write(true)
            .open(self.root.join("control"))
            .expect("the control words can be opened");
        let files = files.into_iter().map(|(name, content)| {
            let file = fs::metadata(folder.join(&name)).expect("a file that was just written");
            (name, file.ino(), content)
        });
        let disk = Disk {
            disks: self.clone(),
            number,
            first: History::new(files),
            folder,
            log,
            control,
        };
        disk.assert_counted();
        disk
    }
}

/// A folder whose files are written as on a disk of its own; gone when dropped.
pub struct Disk {
    disks: Disks,
    number: u64,
    folder: PathBuf,
    log: PathBuf,
    control: File,
    /// What was there at first.
    first: History,
}

impl Disk {
    /// The path of a file on this disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How many operations there were so far, failed ones included.
    pub fn operations(&self) -> u64 {
        self.word(0)
    }

    /// The n-th operation from the disk's beginning and all after it fail, as does reading: as far as the
    /// disk goes, the process has died. `survivor` tells what it has left.
    pub fn crash_at(&self, n: u64) {
        self.set(Fault::Crash, n);
    }

    /// From the n-th operation on the disk is full: writes that make a file longer fail with ENOSPC, until
    /// `works_again`.
    pub fn full_at(&self, n: u64) {
        self.set(Fault::Full, n);
    }

    /// The n-th operation fails with EIO, and nothing else does.
    pub fn fail_at(&self, n: u64) {
        self.set(Fault::Fail, n);
    }

    /// The disk is whole, has room, and nothing is to happen to it.
    pub fn works_again(&self) {
        self.set(Fault::None, 0);
    }

    /// Whether what was to happen has failed any operation yet; to be asked before `works_again`.
    pub fn was_struck(&self) -> bool {
        self.word(3) != 0
    }

    /// A fresh disk with what a crash like this leaves: at the operation that `crash_at` named, or now.
    ///
    /// This disk stays as it is, so that one crash can be looked at in all its variants. Without a crash
    /// nothing else may be writing to it meanwhile.
    pub fn survivor(&self, crash: Crash) -> Disk {
        self.disks.with(self.left_by(crash))
    }

    fn left_by(&self, crash: Crash) -> Files {
        let log = fs::read(&self.log).expect("the log can be read");
        let mut history = self.first.clone();
        history.replay(&log);
        assert!(
            lasting(history.written()) == self.files(),
            "a file was changed by a road that preload.c does not know, or while this looked at it"
        );
        lasting(match crash {
            Crash::Process => history.written(),
            Crash::Torn(seed) => history.torn(seed),
            Crash::Power => history.synced(),
            Crash::PowerShuffled(seed) => history.shuffled(seed),
        })
    }

    /// What really stands in the folder.
    fn files(&self) -> Files {
        // By another name, because a disk that has crashed cannot be read.
        let link = self.disks.root.join(format!("link-{}", self.number));
        let mut files = Files::new();
        for entry in fs::read_dir(&self.folder).expect("the folder can be listed") {
            let name = entry.expect("the folder can be listed").file_name();
            fs::hard_link(self.folder.join(&name), &link).expect("the file can be linked");
            let content = fs::read(&link).expect("the file can be read");
            fs::remove_file(&link).expect("the link can be removed");
            files.insert(name.into_string().expect("a name in UTF-8"), content);
        }
        lasting(files)
    }

    fn assert_counted(&self) {
        let folder = File::open(&self.folder).expect("the folder can be opened");
        folder.sync_all().expect("a new disk works");
        assert_eq!(
            self.operations(),
            1,
            "preload.c is not in this process: is it linked statically?"
        );
        self.control
            .write_all_at(&0_u64.to_ne_bytes(), self.number * WORDS * WORD)
            .expect("the control words can be written");
    }

    fn set(&self, fault: Fault, at: u64) {
        let mut words = Vec::new();
        for word in [fault as u64, at, 0] {
            words.extend(word.to_ne_bytes());
        }
        self.control
            .write_all_at(&words, (self.number * WORDS + 1) * WORD)
            .expect("the control words can be written");
    }

    fn word(&self, which: u64) -> u64 {
        let mut word = [0; WORD as usize];
        self.control
            .read_exact_at(&mut word, (self.number * WORDS + which) * WORD)
            .expect("the control words can be read");
        u64::from_ne_bytes(word)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.log);
    }
}

/// A new folder among the temporary ones; gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(what: &str) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let temporary = std::env::temp_dir()
            .canonicalize()
            .expect("there is a temporary folder");
        let path = temporary.join(format!("{what}-{}-{number}", std::process::id()));
        // Of an earlier process of this number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("the temporary folder can be written");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
