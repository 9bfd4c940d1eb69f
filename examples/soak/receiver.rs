//! The receiver: takes most of what comes, and restarts, stalls and refuses at random.
//!
//! It is a process of its own, so that its memory, threads and files are not taken for the sender's.
//! It says `listening PORT` on its standard output, and receives until its standard input ends; then
//! it writes its records to a file and says what it did.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opteryx_webhooks::Secret;
use opteryx_webhooks::receiver::Verifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use crate::chance::Chance;
use crate::fault::{BETWEEN_EPISODES, Episode, Fault, SLOW, TOO_LATE};
use crate::plan::{LANES, Plan, SECRET, TIMEOUT};
use crate::records::{BROKEN, HALVED, Key, Records, STALLED, refused};
use crate::request::Request;
use crate::{authority, plan};

/// How often the receiver looks for a new connection.
const ACCEPT_POLL: Duration = Duration::from_millis(1);

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// How long the requests that are under way are waited for at the end.
const MAX_END: Duration = Duration::from_secs(5);

/// The body of an answer that is longer than any sender should read.
const LONG_BODY: usize = 64 * 1024;

struct Receiver {
    seed: u64,
    tls: Option<Arc<ServerConfig>>,
    verifier: Verifier,
    records: Records,
    /// What was done, and how often.
    done: Mutex<BTreeMap<String, u64>>,
    /// The connections, by number.
    open: Mutex<HashMap<u64, Arc<TcpStream>>>,
    /// How often it has restarted.
    restarts: AtomicU64,
    stalled_until: Mutex<Option<Instant>>,
    refusing_until: Mutex<Option<Instant>>,
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Receives until standard input ends.
pub(crate) fn run(plan: &Plan, folder: &Path) -> Result<(), Box<dyn Error>> {
    let secret: Secret = SECRET.parse()?;
    let receiver = Arc::new(Receiver {
        seed: plan.seed,
        tls: plan
            .https
            .then(|| authority::receivers_side(&folder.join(plan::AUTHORITY)))
            .transpose()?,
        verifier: Verifier::new([secret]),
        records: Records::new(LANES),
        done: Mutex::default(),
        open: Mutex::default(),
        restarts: AtomicU64::new(0),
        stalled_until: Mutex::default(),
        refusing_until: Mutex::default(),
    });

    // Keeps the port while nobody listens on it, so that no other program is given it.
    let kept = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    kept.set_reuse_address(true)?;
    kept.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = kept.local_addr()?.as_socket().ok_or("no address")?;
    let listener = listen(address)?;
    writeln!(io::stdout(), "listening {}", address.port())?;

    let is_over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_over);
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        ends.store(true, Ordering::Relaxed);
    });
    receive(&receiver, listener, address, &is_over)?;

    for socket in lock(&receiver.open).values() {
        let _ = socket.shutdown(Shutdown::Both);
    }
    let ended = Instant::now();
    while !lock(&receiver.open).is_empty() && ended.elapsed() < MAX_END {
        thread::sleep(Duration::from_millis(10));
    }
    receiver.records.write(&folder.join(plan::RECORDS))?;
    for (what, times) in &*lock(&receiver.done) {
        writeln!(io::stdout(), "{times:>9}  {what}")?;
    }
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Accepts connections, and has an episode now and then.
fn receive(
    receiver: &Arc<Receiver>,
    mut listener: TcpListener,
    address: SocketAddr,
    is_over: &AtomicBool,
) -> io::Result<()> {
    let mut chance = Chance::of(receiver.seed, [u64::MAX]);
    let mut next = Instant::now() + chance.time(&BETWEEN_EPISODES);
    for number in 0.. {
        let socket = loop {
            if is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            if Instant::now() >= next {
                let (episode, range) = Episode::draw(&mut chance);
                let lasts = chance.time(&range);
                receiver.did(&format!("all: {episode:?}"));
                match episode {
                    Episode::Restart => {
                        drop(listener);
                        receiver.close_all();
                        thread::sleep(lasts);
                        listener = listen(address)?;
                    }
                    Episode::Stall => {
                        *lock(&receiver.stalled_until) = Some(Instant::now() + lasts);
                        thread::sleep(lasts);
                    }
                    Episode::Refusal => {
                        *lock(&receiver.refusing_until) = Some(Instant::now() + lasts);
                    }
                }
                next = Instant::now() + chance.time(&BETWEEN_EPISODES);
            }
            match listener.accept() {
                Ok((socket, _)) => break Arc::new(socket),
                // Most often there is none.
                Err(_) => thread::sleep(ACCEPT_POLL),
            }
        };
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        receiver.did("connections accepted");
        lock(&receiver.open).insert(number, Arc::clone(&socket));
        let restarts = receiver.restarts.load(Ordering::SeqCst);
        let receiver = Arc::clone(receiver);
        thread::spawn(move || {
            let mut last = None;
            // Whatever it was, the connection has ended.
            let _ = receiver.attend(number, &socket, &mut last);
            if receiver.restarts.load(Ordering::SeqCst) != restarts
                && let Some(last) = last
            {
                receiver.note(last, BROKEN);
            }
            lock(&receiver.open).remove(&number);
        });
    }
    Ok(())
}

impl Receiver {
    fn close_all(&self) {
        self.restarts.fetch_add(1, Ordering::SeqCst);
        for socket in lock(&self.open).values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Answers the requests of a connection; `last` is the one that was answered last.
    fn attend(&self, number: u64, socket: &TcpStream, last: &mut Option<Key>) -> io::Result<()> {
        let stream: Box<dyn Stream + '_> = match &self.tls {
            None => Box::new(socket),
            Some(tls) => {
                let session = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(session, socket))
            }
        };
        let mut stream = BufReader::new(stream);
        while let Some(request) = Request::read(&mut stream)? {
            let Some((key, attempt)) = self.recognize(&request) else {
                return send(stream.get_mut(), &answer(401, ""));
            };
            *last = Some(key);
            self.wait_while_stalled(key);
            let mut chance = Chance::of(
                self.seed,
                [key.lane as u64, key.number as u64, attempt.into()],
            );
            let fault = match Fault::draw(&mut chance) {
                _ if is_ahead(&self.refusing_until) => Some(Fault::Unavailable),
                fault => fault,
            };
            if let Some(fault) = fault {
                self.did(&format!("one: {fault:?}"));
            }
            match fault {
                Some(Fault::Slow) => thread::sleep(chance.time(&SLOW)),
                Some(Fault::Stall) => {
                    self.note(key, STALLED);
                    thread::sleep(TIMEOUT + chance.time(&TOO_LATE));
                }
                Some(Fault::Reset) => {
                    self.note(key, BROKEN);
                    lock(&self.open).remove(&number);
                    // The reset goes out when the socket is closed, which nobody else holds now.
                    return SockRef::from(socket).set_linger(Some(Duration::ZERO));
                }
                Some(Fault::HangUp) => {
                    self.note(key, BROKEN);
                    return socket.shutdown(Shutdown::Both);
                }
                Some(Fault::HalfHead) => {
                    self.note(key, HALVED | BROKEN);
                    send(stream.get_mut(), b"HTTP/1.1 200 OK\r\nContent-Le")?;
                    return socket.shutdown(Shutdown::Both);
                }
                _ => {}
            }
            let status = fault.map_or(200, Fault::status);
            // Before the answer goes out: once the sender knows, so does the record.
            self.records.update(key, |record| {
                record.taken += u32::from(status == 200);
                record.befell |= refused(status);
            });
            let body = match fault {
                Some(Fault::LongBody) => "x".repeat(LONG_BODY),
                _ => "{\"status\":\"ok\"}".to_owned(),
            };
            let mut answer = answer(status, &body);
            if fault == Some(Fault::HalfBody) {
                answer.truncate(answer.len() - body.len() / 2);
            }
            if let Err(error) = send(stream.get_mut(), &answer) {
                self.note(key, BROKEN);
                return Err(error);
            }
            if fault == Some(Fault::HalfBody) {
                return socket.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }

    /// Which event it is, and how often it had arrived before; none for what the sender cannot have
    /// sent.
    fn recognize(&self, request: &Request) -> Option<(Key, u32)> {
        let headers = request.headers.iter().map(|(name, value)| (name, value));
        let (attempt, notification) = match self.verifier.verify(headers, &request.body) {
            Ok(verified) => verified,
            Err(error) => {
                self.did(&format!("{}: {error}", plan::WRONG));
                return None;
            }
        };
        let id = attempt.id().strip_prefix("evt_").unwrap_or_default();
        let id = u128::from_str_radix(id, 16).unwrap_or_default();
        let key = Key::parse(notification.resource_name())?;
        let (seen, has_changed) = self.records.update(key, |record| {
            let seen = record.seen;
            let has_changed = seen > 0 && record.id != id;
            record.seen += 1;
            record.id = id;
            (seen, has_changed)
        })?;
        if has_changed {
            self.did(&format!(
                "{}: an event came again with another id",
                plan::WRONG
            ));
        }
        Some((key, seen))
    }

    fn wait_while_stalled(&self, key: Key) {
        let until = *lock(&self.stalled_until);
        let left = until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        if !left.is_zero() {
            self.note(key, STALLED);
            thread::sleep(left);
        }
    }

    fn note(&self, key: Key, bits: u8) {
        self.records.update(key, |record| record.befell |= bits);
    }

    fn did(&self, what: &str) {
        *lock(&self.done).entry(what.to_owned()).or_default() += 1;
    }
}

fn is_ahead(moment: &Mutex<Option<Instant>>) -> bool {
    lock(moment).is_some_and(|moment| moment > Instant::now())
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    let after = if status == 429 {
        "Retry-After: 1\r\n"
    } else {
        ""
    };
    let length = body.len();
    format!("HTTP/1.1 {status} \r\n{after}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn send(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
