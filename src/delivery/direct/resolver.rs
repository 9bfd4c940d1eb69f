//! Names to addresses, remembered.
//!
//! ureq's own resolver starts a thread each time that it is asked. These names are asked when a
//! connection is made, and start a thread only when an answer is missing or old.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How old an answer may be before it is asked for again. The system's resolver does not tell how
/// long it may be kept.
const FRESH: Duration = Duration::from_secs(30);

/// How old an answer may be to serve while it is asked for again. An older one waits for the new:
/// in the cloud an address that was given up is soon somebody else's.
const MAX_STALE: Duration = Duration::from_secs(5 * 60);

/// How long a lookup may take before another is tried beside it.
const MAX_LOOKUP: Duration = Duration::from_secs(60);

/// How many lookups of a name may hang at once, each with a thread of its own.
const MAX_HANGING: u32 = 3;

/// How many addresses of a name are tried at most.
const MAX_ADDRESSES: usize = 16;

/// The stack of the thread that looks a name up, in bytes: what Rust gives a thread.
const LOOKUP_STACK: usize = 2 * 1024 * 1024;

/// Looks a `host:port` up, and may block for as long as it likes.
pub(super) type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

fn system_lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(name.to_socket_addrs()?.collect())
}

/// The names that have been resolved. Clones share them.
#[derive(Clone)]
pub(super) struct Names {
    lookup: Lookup,
    fresh: Duration,
    max_stale: Duration,
    max_lookup: Duration,
    stack: usize,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
}

#[derive(Default)]
struct Answer {
    known: Option<Known>,
    /// The lookup under way, which all who ask wait for.
    pending: Option<Arc<Flight>>,
    /// How many lookups before that one have not come back.
    hanging: u32,
}

/// The newest addresses of a name.
#[derive(Clone)]
struct Known {
    addresses: Vec<SocketAddr>,
    /// Since when; never, if none of them could be connected to.
    since: Option<Instant>,
}

impl Known {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() < age)
    }
}

/// A lookup that is under way.
struct Flight {
    started: Instant,
    result: Mutex<Option<Result<Vec<SocketAddr>, String>>>,
    landed: Condvar,
}

impl Names {
    pub(super) fn new() -> Names {
        Names::with_lookup(system_lookup)
    }

    pub(super) fn with_lookup(lookup: Lookup) -> Names {
        Names {
            lookup,
            fresh: FRESH,
            max_stale: MAX_STALE,
            max_lookup: MAX_LOOKUP,
            stack: LOOKUP_STACK,
            answers: Arc::default(),
        }
    }

    /// The addresses of a URL's host, within the time that is left.
    pub(super) fn addresses(&self, uri: &Uri, time: Duration) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = host_and_port(uri).ok_or(Error::HostNotFound)?;
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let mut addresses = self.resolve(&format!("{host}:{port}"), time)?;
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses)
    }

    /// The addresses of a `host:port`, within the time that is left.
    fn resolve(&self, name: &str, time: Duration) -> Result<Vec<SocketAddr>, Error> {
        let (known, flight) = {
            let mut answers = locked(&self.answers);
            let answer = answers.entry(name.to_owned()).or_default();
            let known = answer.known.clone();
            if let Some(known) = known
                .as_ref()
                .filter(|known| known.is_younger_than(self.fresh))
            {
                return Ok(known.addresses.clone());
            }
            let flight = self.flight(name, answer);
            // Addresses of a few minutes ago serve until the new ones are there: most names never
            // move, and an event should not wait to hear so.
            if let Some(known) = known
                .as_ref()
                .filter(|known| known.is_younger_than(self.max_stale))
            {
                return Ok(known.addresses.clone());
            }
            (known, flight)
        };
        // What was known before is better than nothing, so a resolver that is down takes nothing
        // along, and one that hangs leaves time to connect.
        let time = if known.is_some() { time / 2 } else { time };
        let or_known = |error| known.map(|known| known.addresses).ok_or(error);
        match flight {
            Ok(flight) => match flight.wait(time) {
                Some(Ok(addresses)) => Ok(addresses),
                Some(Err(reason)) => or_known(Error::Io(io::Error::other(reason))),
                None => or_known(Error::Timeout(ureq::Timeout::Resolve)),
            },
            Err(error) => or_known(Error::Io(error)),
        }
    }

    /// The lookup under way; a new one where there is none, or where it seems to hang.
    fn flight(&self, name: &str, answer: &mut Answer) -> io::Result<Arc<Flight>> {
        if let Some(pending) = &answer.pending {
            let hangs = pending.started.elapsed() >= self.max_lookup;
            if !hangs || answer.hanging + 1 >= MAX_HANGING {
                return Ok(Arc::clone(pending));
            }
            answer.hanging += 1;
        }
        let flight = self.start(name)?;
        answer.pending = Some(Arc::clone(&flight));
        Ok(flight)
    }

    /// Starts a lookup in a thread of its own, since nothing can stop one that hangs.
    fn start(&self, name: &str) -> io::Result<Arc<Flight>> {
        let flight = Arc::new(Flight {
            started: Instant::now(),
            result: Mutex::default(),
            landed: Condvar::new(),
        });
        let (names, name, landing) = (self.clone(), name.to_owned(), Arc::clone(&flight));
        thread::Builder::new()
            .name("webhook-resolver".to_owned())
            .stack_size(self.stack)
            .spawn(move || {
                // Made in the thread and not before: where the thread cannot start, its drop would
                // take a lock that the caller holds.
                let landing = Landing {
                    names,
                    name,
                    flight: landing,
                };
                let lookup = landing.names.lookup;
                let result = lookup(&landing.name)
                    .map_err(|error| error.to_string())
                    .and_then(|found| match found.is_empty() {
                        true => Err("the name has no address".to_owned()),
                        false => Ok(found),
                    });
                landing.land(result);
            })?;
        Ok(flight)
    }

    /// Has a name asked for again whose addresses could not be connected to.
    pub(super) fn forget(&self, uri: &Uri) {
        if let Some((host, port)) = host_and_port(uri)
            && let Some(answer) = locked(&self.answers).get_mut(&format!("{host}:{port}"))
            && let Some(known) = &mut answer.known
        {
            known.since = None;
        }
    }
}

impl Flight {
    fn wait(&self, time: Duration) -> Option<Result<Vec<SocketAddr>, String>> {
        let result = locked(&self.result);
        let (result, _) = self
            .landed
            .wait_timeout_while(result, time, |result| result.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        result.clone()
    }
}

/// Brings a lookup's result home; an error if its thread dies before there is one.
struct Landing {
    names: Names,
    name: String,
    flight: Arc<Flight>,
}

impl Landing {
    fn land(&self, result: Result<Vec<SocketAddr>, String>) {
        if let Some(answer) = locked(&self.names.answers).get_mut(&self.name) {
            let is_newest = |pending: &Arc<Flight>| Arc::ptr_eq(pending, &self.flight);
            if answer.pending.as_ref().is_some_and(is_newest) {
                answer.pending = None;
            } else {
                answer.hanging = answer.hanging.saturating_sub(1);
            }
            if let Ok(addresses) = &result {
                answer.known = Some(Known {
                    addresses: addresses.clone(),
                    since: Some(Instant::now()),
                });
            }
        }
        *locked(&self.flight.result) = Some(result);
        self.flight.landed.notify_all();
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if locked(&self.flight.result).is_none() {
            self.land(Err("the lookup broke off".to_owned()));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn host_and_port(uri: &Uri) -> Option<(&str, u16)> {
    let port = uri.port_u16().or_else(|| match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    })?;
    Some((uri.host()?, port))
}

/// ureq asks this for a proxy's name. It says nothing: [`Dial`](super::transport::Dial) asks for the
/// addresses that it needs itself.
impl Resolver for Names {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn address(name: &str) -> SocketAddr {
        format!("127.0.0.1:{}", name.rsplit(':').next().unwrap())
            .parse()
            .unwrap()
    }

    #[test]
    fn all_who_ask_at_once_share_one_lookup() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let names = Names::with_lookup(|name| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(50));
            Ok(vec![address(name)])
        });
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    assert_eq!(names.resolve("a:1", LONG).unwrap(), [address("a:1")]);
                });
            }
        });
        names.resolve("a:1", LONG).unwrap();
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_resolver_that_never_answers_holds_one_thread_and_nobody_longer_than_asked() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let names = Names::with_lookup(|_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            loop {
                thread::park();
            }
        });
        for _ in 0..3 {
            let started = Instant::now();
            let error = names.resolve("a:1", Duration::from_millis(50)).unwrap_err();
            assert!(matches!(error, Error::Timeout(_)));
            assert!(started.elapsed() < Duration::from_millis(350));
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_name_that_could_not_be_connected_to_is_asked_for_again() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let names = Names::with_lookup(|name| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Ok(vec![address(name)])
        });
        names.resolve("a:443", LONG).unwrap();
        names.forget(&Uri::from_static("https://a/event"));
        names.resolve("a:443", LONG).unwrap();
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_failure_is_told_and_not_remembered() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let names = Names::with_lookup(|name| match LOOKUPS.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("no such name")),
            1 => Ok(Vec::new()),
            2 => panic!("the lookup dies"),
            _ => Ok(vec![address(name)]),
        });
        assert!(
            names
                .resolve("a:1", LONG)
                .unwrap_err()
                .to_string()
                .contains("no such name")
        );
        assert!(
            names
                .resolve("a:1", LONG)
                .unwrap_err()
                .to_string()
                .contains("no address")
        );
        assert!(
            names
                .resolve("a:1", LONG)
                .unwrap_err()
                .to_string()
                .contains("broke off")
        );
        assert!(names.resolve("a:1", LONG).is_ok());
    }

    #[test]
    fn old_addresses_serve_while_new_ones_are_asked_for() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let mut names = Names::with_lookup(|_| {
            Ok(vec![address(
                if LOOKUPS.fetch_add(1, Ordering::SeqCst) == 0 {
                    "a:1"
                } else {
                    "a:2"
                },
            )])
        });
        names.fresh = Duration::ZERO;
        assert_eq!(names.resolve("a:1", LONG).unwrap(), [address("a:1")]);
        assert_eq!(names.resolve("a:1", LONG).unwrap(), [address("a:1")]);
        let flight = locked(&names.answers)["a:1"].pending.clone();
        if let Some(flight) = flight {
            flight.wait(LONG).unwrap().unwrap();
        }
        assert_eq!(names.resolve("a:1", LONG).unwrap(), [address("a:2")]);
    }

    #[test]
    fn where_no_thread_can_be_had_there_is_an_error_and_old_addresses_serve() {
        let mut names = Names::with_lookup(|name| Ok(vec![address(name)]));
        // More than any machine has, so that starting the thread really fails.
        names.stack = 1 << 60;
        let error = names.resolve("a:1", LONG).unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error}");
        names.stack = LOOKUP_STACK;
        assert!(names.resolve("a:1", LONG).is_ok());
        (names.stack, names.fresh) = (1 << 60, Duration::ZERO);
        assert_eq!(names.resolve("a:1", LONG).unwrap(), [address("a:1")]);
    }

    #[test]
    fn addresses_that_are_too_old_wait_for_the_new_and_serve_where_there_are_none() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let mut names = Names::with_lookup(|_| match LOOKUPS.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![address("a:1")]),
            1 => Ok(vec![address("a:2")]),
            _ => Err(io::Error::other("the resolver is down")),
        });
        (names.fresh, names.max_stale) = (Duration::ZERO, Duration::ZERO);
        assert_eq!(names.resolve("a:9", LONG).unwrap(), [address("a:1")]);
        assert_eq!(names.resolve("a:9", LONG).unwrap(), [address("a:2")]);
        assert_eq!(names.resolve("a:9", LONG).unwrap(), [address("a:2")]);
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn addresses_that_are_too_old_serve_where_the_new_do_not_come() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let mut names = Names::with_lookup(|name| match LOOKUPS.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![address(name)]),
            _ => loop {
                thread::park();
            },
        });
        (names.fresh, names.max_stale) = (Duration::ZERO, Duration::ZERO);
        names.resolve("a:1", LONG).unwrap();
        let (started, time) = (Instant::now(), Duration::from_millis(500));
        assert_eq!(names.resolve("a:1", time).unwrap(), [address("a:1")]);
        assert!(started.elapsed() < time);
    }

    #[test]
    fn an_address_is_not_looked_up() {
        let names = Names::with_lookup(|name| panic!("{name} is asked for"));
        for (uri, address) in [
            ("http://127.0.0.1/event", "127.0.0.1:80"),
            ("https://[::1]/event", "[::1]:443"),
            ("https://[::1]:8443/event", "[::1]:8443"),
        ] {
            let found = names.addresses(&Uri::from_static(uri), LONG).unwrap();
            assert_eq!(found, [address.parse().unwrap()]);
        }
    }

    #[test]
    fn a_lookup_that_hangs_does_not_keep_the_name_for_ever() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let mut names = Names::with_lookup(|name| {
            if LOOKUPS.fetch_add(1, Ordering::SeqCst) < 2 {
                loop {
                    thread::park();
                }
            }
            Ok(vec![address(name)])
        });
        names.max_lookup = Duration::ZERO;
        let short = Duration::from_millis(20);
        assert!(names.resolve("a:1", short).is_err());
        assert!(names.resolve("a:1", short).is_err());
        assert!(names.resolve("a:1", LONG).is_ok());
    }

    #[test]
    fn lookups_that_hang_keep_a_few_threads_at_the_most() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let mut names = Names::with_lookup(|_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            loop {
                thread::park();
            }
        });
        names.max_lookup = Duration::ZERO;
        for _ in 0..10 {
            assert!(names.resolve("a:1", Duration::from_millis(5)).is_err());
        }
        assert!(LOOKUPS.load(Ordering::SeqCst) <= MAX_HANGING as usize);
    }
}
