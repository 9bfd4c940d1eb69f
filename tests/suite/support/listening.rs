//! Programs that listen, run as processes of their own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

/// Far longer than any start takes; only so that a suite fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that listens on an address; ended on drop.
pub struct Listening {
    pub address: SocketAddr,
    pub child: Child,
}

impl Listening {
    /// Starts a program and waits until it has said on its stderr where it listens, as a URL.
    pub fn start(command: &mut Command) -> Listening {
        let child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
        let unknown = SocketAddr::from(([0; 4], 0));
        let mut listening = Listening {
            address: unknown,
            child,
        };

        let stderr = listening.child.stderr.take().expect("it is piped");
        let (said, hear) = mpsc::channel();
        // Read to its end, or the program would wait for room in the pipe.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let mut heard = String::new();
        while listening.address == unknown {
            let line = hear.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                panic!("{command:?} does not say where it listens:\n{heard}");
            });
            listening.address = address_in(&line).unwrap_or(unknown);
            heard = heard + &line + "\n";
        }
        listening
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once("http://")?;
    let end = address.find(|c: char| c.is_whitespace() || c == '/');
    address[..end.unwrap_or(address.len())].parse().ok()
}

/// An example of this package, built by `cargo test` for the profile of this suite.
pub fn example(name: &str) -> PathBuf {
    let suite = std::env::current_exe().expect("this program has a path");
    let profile = suite.parent().and_then(Path::parent);
    let profile = profile.expect("it is in <target>/<profile>/deps");
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let example = profile.join("examples").join(file);

    let remedy = format!(
        "`cargo build --example {name}{}` builds it",
        if profile.ends_with("release") {
            " --release"
        } else {
            ""
        },
    );
    let built = modified(&example).unwrap_or_else(|| panic!("{example:?} is missing: {remedy}"));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    for source in sources.read_dir().into_iter().flatten().flatten() {
        // `cargo test --test suite` leaves examples as they are.
        let changed = modified(&source.path()).is_some_and(|changed| changed > built);
        assert!(
            !changed,
            "{example:?} is older than {:?}: {remedy}",
            source.path()
        );
    }
    example
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().ok()?.modified().ok()
}
