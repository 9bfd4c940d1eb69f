//! As with Google itself: TLS, and credentials as Google's libraries find them. The environment
//! decides about these, so the notifier is in a child process, and the servers are here.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opteryx_webhooks::{Notifier, Outcome};
use rustls::crypto::{CryptoProvider, ring};

use super::{QUEUE, notifier};
use crate::support::queue_server::QueueServer;
use crate::support::server::{self, Connection, Server};
use crate::support::tls::Authority;
use crate::support::{child, event, in_time, python, within};

/// Long enough that a machine under load does not reach it where an event is to succeed.
const TIMEOUT: Duration = Duration::from_secs(4);

const CHILD: &str = "cloud_tasks::google::a_notifier_in_a_process_of_its_own";
const TOKEN: &str = "a-made-up-token";

/// The child: an event for each line that it reads, and a line about what came of it.
#[test]
fn a_notifier_in_a_process_of_its_own() {
    if !child::is_child() {
        // Without a domain it is off, and it says so.
        let mut child = Sender::start(child::command(CHILD));
        assert_eq!(child.notify(), Err("Disabled".to_owned()));
        return;
    }
    if std::env::var_os("SUITE_PROVIDER_FIRST").is_some() {
        ring::default_provider().install_default().unwrap();
    }
    let notifier = Notifier::try_from_env().unwrap();
    for line in std::io::stdin().lines() {
        line.unwrap();
        let outcome = in_time(TIMEOUT, || notifier.notify(&event()));
        let text = match &outcome {
            Outcome::Enqueued { task, .. } => format!("ok {task}"),
            Outcome::Failed(error) => {
                use std::error::Error;
                let below = error.source().map(|below| format!(": {below}"));
                let is_timeout = if error.is_timeout() { "timeout: " } else { "" };
                format!("failed {is_timeout}{error}{}", below.unwrap_or_default())
            }
            other => format!("failed {other:?}"),
        };
        writeln!(std::io::stdout(), "OUTCOME {}", text.replace('\n', " ")).unwrap();
    }
}

struct Sender {
    process: Child,
    events: Option<ChildStdin>,
    outcomes: BufReader<ChildStdout>,
}

impl Sender {
    fn start(mut command: Command) -> Sender {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Sender {
            events: process.stdin.take(),
            outcomes: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    /// The task's name, or the error.
    fn notify(&mut self) -> Result<String, String> {
        writeln!(self.events.as_mut().unwrap(), "notify").unwrap();
        let outcome = loop {
            let mut line = String::new();
            let read = self.outcomes.read_line(&mut line).unwrap();
            assert!(read > 0, "the child is gone: {:?}", self.process.wait());
            // The test harness has begun a line of its own.
            if let Some((_, outcome)) = line.split_once("OUTCOME ") {
                break outcome.trim().to_owned();
            }
        };
        match outcome.split_once(' ').unwrap() {
            ("ok", task) => Ok(task.to_owned()),
            (_, error) => Err(error.to_owned()),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.events.take();
        if thread::panicking() {
            let _ = self.process.kill();
        }
        let status = self.process.wait();
        if !thread::panicking() {
            assert!(status.unwrap().success());
        }
    }
}

/// What the metadata server does with a request for a token.
#[derive(Clone, Copy, PartialEq)]
enum Metadata {
    Token,
    /// A token that must be renewed at once.
    ShortLived,
    /// The token, but only after longer than a notification may take.
    Slow,
    /// A token where a description of one should be.
    Bare,
    Hang,
    NotFound,
    Garbage,
    ServerError,
}

/// All that Google would be.
struct Google {
    authority: Authority,
    tasks: QueueServer,
    metadata: Server,
    behaviour: Arc<Mutex<Metadata>>,
}

impl Google {
    fn start() -> Google {
        let authority = Authority::new();
        let behaviour = Arc::new(Mutex::new(Metadata::Token));
        let current = Arc::clone(&behaviour);
        Google {
            tasks: QueueServer::start_tls(&authority.server()),
            metadata: Server::start(move |mut connection| {
                while connection.request().is_some() {
                    let behaviour = *current.lock().unwrap();
                    if behaviour == Metadata::Hang {
                        return connection.stay_silent();
                    }
                    answer(&mut connection, behaviour);
                }
            }),
            authority,
            behaviour,
        }
    }

    fn set(&self, behaviour: Metadata) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// The command for a child that takes all this for Google.
    fn sender(&self) -> Command {
        let mut command = child::command(CHILD);
        let port = self.tasks.address().port();
        command
            // Where gcloud would have left its credentials.
            .env("HOME", empty_folder())
            .env_remove("CLOUDSDK_CONFIG")
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .env_remove("SSL_CERT_DIR")
            .env("SSL_CERT_FILE", self.authority.file())
            .env("GCE_METADATA_HOST", self.metadata.address().to_string())
            .env(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS",
                format!("https://localhost:{port}/"),
            )
            .env("OPTERYX_WEBHOOK_DOMAIN", "router.opteryx.app")
            .env("OPTERYX_WEBHOOK_QUEUE", QUEUE)
            .env("OPTERYX_WEBHOOK_TIMEOUT", TIMEOUT.as_secs_f64().to_string());
        command
    }

    fn authorizations(&self) -> Vec<Option<String>> {
        let calls = self.tasks.calls();
        calls.into_iter().map(|call| call.authorization).collect()
    }
}

fn answer(connection: &mut Connection, behaviour: Metadata) {
    let token = format!(r#"{{"access_token":"{TOKEN}","expires_in":3599,"token_type":"Bearer"}}"#);
    let short_lived = token.replace("3599", "1");
    let bare = format!("\"{TOKEN}\"");
    if behaviour == Metadata::Slow {
        thread::sleep(TIMEOUT + Duration::from_millis(100));
    }
    let (status, body) = match behaviour {
        Metadata::ShortLived => ("200 OK", short_lived.as_str()),
        Metadata::Slow => ("200 OK", token.as_str()),
        Metadata::Bare => ("200 OK", bare.as_str()),
        Metadata::Token | Metadata::Hang => ("200 OK", token.as_str()),
        Metadata::Garbage => ("200 OK", "<html>Welcome to the hotel</html>"),
        Metadata::NotFound => ("404 Not Found", "no service account"),
        Metadata::ServerError => ("500 Internal Server Error", "not today"),
    };
    let length = body.len();
    let _ = connection.send(format!(
        "HTTP/1.1 {status}\r\nMetadata-Flavor: Google\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ));
}

fn empty_folder() -> PathBuf {
    static FOLDERS: AtomicUsize = AtomicUsize::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::SeqCst);
    let name = format!("home-{}-{number}", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

/// An address where nothing listens.
fn nobody() -> SocketAddr {
    server::listener().local_addr().unwrap()
}

#[test]
fn over_tls_with_a_token_of_the_metadata_server() {
    let google = Google::start();
    let mut sender = Sender::start(google.sender());
    for _ in 0..3 {
        let task = sender.notify().unwrap();
        assert!(google.tasks.stored().contains(&task));
    }
    let bearer = Some(format!("Bearer {TOKEN}"));
    assert_eq!(google.authorizations(), vec![bearer; 3]);
    assert_eq!(google.metadata.requests().len(), 1);
    assert_eq!(google.tasks.connections(), 1);
}

#[test]
fn where_the_host_has_chosen_a_provider_first() {
    let google = Google::start();
    let mut command = google.sender();
    command.env("SUITE_PROVIDER_FIRST", "1");
    Sender::start(command).notify().unwrap();
}

#[test]
fn a_host_may_choose_its_provider_after_events_to_an_emulator() {
    if child::is_child() {
        let server = QueueServer::start();
        assert!(notifier(&server, []).notify(&event()).is_ok());
        assert!(CryptoProvider::get_default().is_none());
        ring::default_provider().install_default().unwrap();
        return;
    }
    let test = "cloud_tasks::google::a_host_may_choose_its_provider_after_events_to_an_emulator";
    child::run::<&str, &str>(test, []);
}

/// The error while the metadata server behaves like this, and success after.
fn recovers_from(behaviour: Metadata) -> String {
    let google = Google::start();
    google.set(behaviour);
    let mut sender = Sender::start(google.sender());
    let error = sender.notify().unwrap_err();
    assert_eq!(sender.notify().as_ref(), Err(&error));
    google.set(Metadata::Token);
    let task = sender.notify().unwrap();
    assert_eq!(google.tasks.stored(), [task]);
    error
}

#[test]
fn a_metadata_server_that_hangs() {
    assert_eq!(
        recovers_from(Metadata::Hang),
        "timeout: timed out after 4s while waiting for an access token from Google's credentials"
    );
}

#[test]
fn a_metadata_server_that_answers_404() {
    let error = recovers_from(Metadata::NotFound);
    assert!(
        error.contains("Google's credentials gave no access token"),
        "{error}"
    );
    assert!(error.contains("404"), "{error}");
}

#[test]
fn a_metadata_server_that_answers_500() {
    let error = recovers_from(Metadata::ServerError);
    assert!(
        error.contains("Google's credentials gave no access token"),
        "{error}"
    );
    assert!(error.contains("500"), "{error}");
}

#[test]
fn a_metadata_server_that_answers_garbage() {
    let error = recovers_from(Metadata::Garbage);
    assert!(
        error.contains("Google's credentials gave no access token"),
        "{error}"
    );
    assert!(!error.contains("hotel"), "{error}");
}

#[test]
fn a_metadata_server_whose_answer_is_itself_a_secret() {
    let error = recovers_from(Metadata::Bare);
    assert!(
        error.contains("Google's credentials gave no access token"),
        "{error}"
    );
    assert!(!error.contains(TOKEN), "{error}");
}

#[test]
fn a_metadata_server_that_failed_while_nobody_asked_costs_no_event_afterwards() {
    let google = Google::start();
    google.set(Metadata::ShortLived);
    let mut sender = Sender::start(google.sender());
    sender.notify().unwrap();
    google.set(Metadata::NotFound);
    let asked = google.metadata.requests().len();
    // Google's library renews the token by itself, and keeps the error that it gets.
    crate::support::eventually("the token is renewed, in vain", || {
        google.metadata.requests().len() > asked
    });
    google.set(Metadata::Token);
    sender.notify().unwrap();
}

#[test]
fn a_metadata_server_that_is_slower_than_a_notification_may_be_serves_the_next() {
    let google = Google::start();
    google.set(Metadata::Slow);
    let mut sender = Sender::start(google.sender());
    let error = sender.notify().unwrap_err();
    assert!(error.starts_with("timeout: "), "{error}");
    let recovered = (0..3).any(|_| sender.notify().is_ok());
    assert!(
        recovered,
        "the token that came too late for one event is there for another"
    );
}

#[test]
fn credentials_in_a_pipe_are_refused_and_keep_no_thread() {
    let google = Google::start();
    let path = empty_folder().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let mut command = google.sender();
    command.env("GOOGLE_APPLICATION_CREDENTIALS", &path);
    let mut sender = Sender::start(command);
    for _ in 0..3 {
        let error = sender.notify().unwrap_err();
        assert!(error.contains("not a file"), "{error}");
    }
}

#[test]
fn no_credentials_at_all_until_a_file_is_put_in_place() {
    let google = Google::start();
    let home = empty_folder();
    let mut command = google.sender();
    command
        .env("HOME", &home)
        .env("GCE_METADATA_HOST", nobody().to_string());
    let mut sender = Sender::start(command);
    let error = sender.notify().unwrap_err();
    assert!(
        error.contains("Google's credentials gave no access token"),
        "{error}"
    );

    let gcloud = home.join(".config/gcloud");
    fs::create_dir_all(&gcloud).unwrap();
    let path = gcloud.join("application_default_credentials.json");
    fs::write(&path, service_account()).unwrap();
    sender.notify().unwrap();
}

#[test]
fn a_credentials_file_that_is_missing_or_broken_until_it_is_right() {
    let google = Google::start();
    let path = empty_folder().join("key.json");
    let mut command = google.sender();
    command
        .env("GOOGLE_APPLICATION_CREDENTIALS", &path)
        .env("GCE_METADATA_HOST", nobody().to_string());
    let mut sender = Sender::start(command);
    let missing = sender.notify().unwrap_err();
    assert!(
        missing.contains("Google's credentials gave no access token"),
        "{missing}"
    );
    for broken in ["", "{}", r#"{"type":"service_account"}"#, "\u{0}"] {
        fs::write(&path, broken).unwrap();
        let error = sender.notify().unwrap_err();
        assert!(
            error.contains("Google's credentials gave no access token"),
            "{error}"
        );
    }

    fs::write(&path, service_account()).unwrap();
    sender.notify().unwrap();
    // Signed here, without a request to anyone.
    let authorizations = google.authorizations();
    let [Some(bearer)] = &authorizations[..] else {
        panic!("{authorizations:?}")
    };
    assert_eq!(bearer.split('.').count(), 3, "{bearer}");
    assert!(bearer.starts_with("Bearer ey"), "{bearer}");
    assert!(google.metadata.requests().is_empty());
}

/// The JSON of a service account's key, made up.
fn service_account() -> String {
    let python = python::interpreter("requirements-google.txt");
    let script = "tests/python/service_account.py";
    let output = Command::new(python)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg(script)
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_token_that_is_refused_is_replaced_within_the_same_event() {
    let google = Google::start();
    let mut sender = Sender::start(google.sender());
    sender.notify().unwrap();
    let mut refused = false;
    google.tasks.answer(move |_| {
        use crate::support::queue_server::Reply;
        match std::mem::replace(&mut refused, true) {
            false => Reply::Refuse(tonic::Code::Unauthenticated, "revoked"),
            true => Reply::Store,
        }
    });
    sender.notify().unwrap();
    assert_eq!(google.metadata.requests().len(), 2);
}

#[test]
fn no_ca_bundle_on_the_machine_until_there_is_one() {
    let google = Google::start();
    let path = empty_folder().join("ca.pem");
    let mut command = google.sender();
    command.env("SSL_CERT_FILE", &path);
    let mut sender = Sender::start(command);
    let error = sender.notify().unwrap_err();
    assert!(error.contains("no CA certificate could be read"), "{error}");
    fs::copy(google.authority.file(), &path).unwrap();
    sender.notify().unwrap();
}

#[test]
fn a_server_that_nobody_vouches_for_fails_at_once() {
    let google = Google::start();
    let mut command = google.sender();
    command.env("SSL_CERT_FILE", Authority::new().file());
    // Less than the timeout, or it went on trying.
    let error = within(TIMEOUT, || Sender::start(command).notify()).unwrap_err();
    assert!(error.contains("the TLS handshake failed"), "{error}");
    assert!(google.tasks.calls().is_empty());
}

#[test]
fn through_the_proxy_that_the_environment_names() {
    let google = Google::start();
    let tasks = google.tasks.address();
    let (requests, proxy) = connect_proxy(tasks);
    let mut command = google.sender();
    command
        .env("HTTPS_PROXY", format!("http://user:secret@{proxy}"))
        .env("NO_PROXY", "127.0.0.1");
    Sender::start(command).notify().unwrap();
    let requests = requests.lock().unwrap();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    let first = format!("CONNECT localhost:{} HTTP/1.1\r\n", tasks.port());
    assert!(request.starts_with(&first), "{request}");
    // user:secret
    let authorization = "proxy-authorization: basic dxnlcjpzzwnyzxq=";
    assert!(
        request.to_ascii_lowercase().contains(authorization),
        "{request}"
    );
}

/// A proxy that connects to one server, whatever it is asked for; and the requests it got.
fn connect_proxy(server: SocketAddr) -> (Arc<Mutex<Vec<String>>>, SocketAddr) {
    let listener = server::listener();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        let (mut near, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            near.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        seen.lock().unwrap().push(String::from_utf8(head).unwrap());
        near.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        let mut far = TcpStream::connect(server).unwrap();
        let (mut back, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut back, &mut to));
        let _ = std::io::copy(&mut near, &mut far);
    });
    (requests, address)
}
