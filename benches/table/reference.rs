//! The Python package `opteryx-catalog`, in a process of its own that sends when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use opteryx_webhooks::Message;

use crate::site::Site;
use crate::support::python;

const SCRIPT: &str = "benches/table/reference.py";

pub struct Reference {
    process: Child,
    orders: Option<ChildStdin>,
    times: BufReader<ChildStdout>,
    /// Keeps the server's side there.
    _site: Option<Arc<Site>>,
}

impl Reference {
    /// One that posts the events of these messages.
    pub fn direct(site: &Arc<Site>, messages: &[Message]) -> Reference {
        let mut command = command();
        let file = site.trust_file.as_ref().expect("it knows https alone");
        command
            .arg("direct")
            .env("OPTERYX_WEBHOOK_DOMAIN", site.address.to_string())
            // The authority's certificate alone: the usual bundle costs it fifteen milliseconds each.
            .env("REQUESTS_CA_BUNDLE", file)
            .env("SSL_CERT_FILE", file);
        let bodies = messages.iter().map(Message::body);
        Reference::start(command, bodies, Some(Arc::clone(site)))
    }

    /// One that puts a task with this body into a queue.
    pub fn queue(address: SocketAddr, queue: &str, domain: &str, body: &[u8]) -> Reference {
        let mut command = command();
        command
            .args(["queue", &address.to_string(), queue])
            .env("OPTERYX_WEBHOOK_DOMAIN", domain);
        Reference::start(command, [body].into_iter(), None)
    }

    fn start<'a>(
        mut command: Command,
        bodies: impl ExactSizeIterator<Item = &'a [u8]>,
        site: Option<Arc<Site>>,
    ) -> Reference {
        let mut process = command
            .arg(bodies.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut orders = process.stdin.take().unwrap();
        for body in bodies {
            orders.write_all(body).unwrap();
            orders.write_all(b"\n").unwrap();
        }
        Reference {
            times: BufReader::new(process.stdout.take().unwrap()),
            orders: Some(orders),
            process,
            _site: site,
        }
    }

    /// Has it send one of the events: what that took, in nanoseconds, by its own clock.
    pub fn send(&mut self, event: usize) -> f64 {
        let orders = self.orders.as_mut().expect("it is not over");
        orders.write_all(format!("{event}\n").as_bytes()).unwrap();
        let mut time = String::new();
        self.times.read_line(&mut time).unwrap();
        time.trim().parse().expect("the reference runs")
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It ends when there is nothing more to read.
        self.orders = None;
        let _ = self.process.wait();
    }
}

fn command() -> Command {
    let mut command = Command::new(python::interpreter("requirements-reference.txt"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg(SCRIPT)
        .env("NO_PROXY", "*")
        .env_remove("OPTERYX_WEBHOOK_QUEUE");
    command
}
