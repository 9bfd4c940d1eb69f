//! A real file system so small that a test can fill it.
//!
//! A tmpfs of its own, mounted where only the test's child process sees it. Where the machine lets nobody
//! mount one, the child runs under a limit on the size of each file instead, and says so: then a write
//! fails with EFBIG (SQLite's SQLITE_IOERR_WRITE) rather than ENOSPC (SQLITE_FULL).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Folder;
use super::child;

/// The folder, the room in it in bytes, and how it is kept small.
const FOLDER: &str = "SMALL_DISK";
const ROOM: &str = "SMALL_DISK_ROOM";
const WAY: &str = "SMALL_DISK_WAY";

const BALLAST: &str = "ballast";
const FILLING: &str = "filling";
/// What `ulimit -f` counts in, by POSIX.
const ULIMIT_UNIT: u64 = 512;

/// How the disk is kept small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A tmpfs: the whole disk is full, ENOSPC.
    Tmpfs,
    /// `RLIMIT_FSIZE`: no file grows beyond the limit, EFBIG.
    FileLimit,
}

/// A folder with room for so many bytes, in the child.
pub struct SmallDisk {
    folder: PathBuf,
    way: Way,
}

/// Runs the test of this name (as `cargo test` shows it) again in a child process, and there the body, with
/// a disk that has room for about so many bytes.
///
/// To be called from that test, as the only thing it does.
pub fn run(test: &str, room: u64, body: impl FnOnce(&SmallDisk)) {
    if child::is_child() {
        return body(&SmallDisk::given());
    }
    let folder = Folder::new("small");
    match mounting(&folder.0) {
        Ok(mount) => start(test, folder, room, Way::Tmpfs, &mount),
        Err(why) => {
            // Not by eprintln!, which cargo test shows for failed tests only.
            let notice = format!(
                "\n{test}: NOT ON A REAL SMALL FILE SYSTEM: this machine lets nobody mount one ({why}); \
                 under a limit on the size of files instead\n"
            );
            let _ = std::io::stderr().write_all(notice.as_bytes());
            start(test, folder, room, Way::FileLimit, &[]);
        }
    }
}

/// The same under a limit on the size of files, whatever the machine allows.
pub fn run_limited(test: &str, room: u64, body: impl FnOnce(&SmallDisk)) {
    if child::is_child() {
        return body(&SmallDisk::given());
    }
    let folder = Folder::new("small");
    start(test, folder, room, Way::FileLimit, &[]);
}

/// The command line that runs a further one where it may mount; or why there is none.
fn mounting(folder: &Path) -> Result<Vec<&'static str>, String> {
    let mut reasons = Vec::new();
    for unshare in [
        &["unshare", "--user", "--map-root-user", "--mount"][..],
        // As root where users may make no namespaces of their own.
        &["unshare", "--mount"][..],
    ] {
        let output = Command::new(unshare[0])
            .args(&unshare[1..])
            .args(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder)
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => return Ok(unshare.to_vec()),
            Ok(output) => {
                reasons.push(String::from_utf8_lossy(&output.stderr).trim().to_owned());
            }
            Err(e) => reasons.push(format!("unshare: {e}")),
        }
    }
    Err(reasons.join("; "))
}

fn start(test: &str, folder: Folder, room: u64, way: Way, mount: &[&str]) {
    let (script, size) = match way {
        // Half of it is ballast, so that room can be made again.
        Way::Tmpfs => (
            "mount -t tmpfs -o size=\"$0\" tmpfs \"$SMALL_DISK\" && exec \"$@\"",
            2 * room,
        ),
        Way::FileLimit => (
            "trap '' XFSZ && ulimit -S -f \"$0\" && exec \"$@\"",
            room.div_ceil(ULIMIT_UNIT),
        ),
    };
    let mut before: Vec<OsString> = mount.iter().map(OsString::from).collect();
    before.extend(["sh", "-c", script].map(OsString::from));
    before.push(size.to_string().into());
    child::run_behind(
        before,
        test,
        [
            (FOLDER, folder.0.clone().into_os_string()),
            (ROOM, room.to_string().into()),
            (WAY, format!("{way:?}").into()),
        ],
    );
}

impl SmallDisk {
    fn given() -> Self {
        let given = |name| std::env::var(name).expect("a child of `run`");
        let disk = Self {
            folder: given(FOLDER).into(),
            way: if given(WAY) == format!("{:?}", Way::Tmpfs) {
                Way::Tmpfs
            } else {
                Way::FileLimit
            },
        };
        if disk.way == Way::Tmpfs {
            let room: usize = given(ROOM).parse().expect("a number");
            fs::write(disk.path(BALLAST), vec![1; room]).expect("there is room for the ballast");
        }
        disk
    }

    /// The path of a file on this disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn way(&self) -> Way {
        self.way
    }

    /// Uses up what room there is. Without effect under a limit on files.
    pub fn fill(&self) {
        if self.way == Way::FileLimit {
            return;
        }
        let filling = File::options()
            .create(true)
            .append(true)
            .open(self.path(FILLING));
        let Ok(mut filling) = filling else {
            return; // No room for so much as a name.
        };
        for size in [65_536, 4_096] {
            while filling.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Makes room: as much again as there was at first, and what `fill` used up; or lifts the limit.
    pub fn make_room(&self) {
        match self.way {
            Way::Tmpfs => {
                for name in [BALLAST, FILLING] {
                    let _ = fs::remove_file(self.path(name));
                }
            }
            Way::FileLimit => {
                let output = Command::new("prlimit")
                    .args(["--pid", &std::process::id().to_string()])
                    .arg("--fsize=unlimited:")
                    .output()
                    .expect("prlimit lifts the limit: install util-linux");
                assert!(output.status.success(), "prlimit: {output:?}");
            }
        }
    }
}
