//! The connections to the receiver: how they are made, and which are kept alive.
//!
//! ureq makes them, TLS and the way through a proxy included. The exchange over them is not its: that
//! takes more instructions than all the rest of an event, for much that a webhook has no use for.

use std::collections::VecDeque;
use std::mem;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport,
    time,
};

use super::resolver::Names;
use super::transport::{Dial, Held};

/// How many idle connections are kept: one for each of as many threads that notify at once.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// How long one is kept. Address translators forget after minutes, and say nothing; receivers close
/// when they please, which is noticed.
const MAX_IDLE_AGE: Duration = Duration::from_secs(30);

/// How long a connection is its thread's own. What it encrypts with is then still in the cache of the
/// processor that the thread runs on; later, the one that was used last is the likeliest to be open.
const MAX_OWN_AGE: Duration = Duration::from_secs(1);

pub(super) type Connection = Box<dyn Transport>;

type Connect = dyn Fn(&ConnectionDetails<'_>) -> Result<Connection, Error> + Send + Sync;

/// The connections of one process to one receiver.
pub(super) struct Connections {
    config: Config,
    names: Names,
    connect: Arc<Connect>,
    idle: Idle<Connection>,
}

impl Connections {
    pub(super) fn new(config: Config, names: Names) -> Connections {
        let connector = ()
            .chain(ConnectProxyConnector::default())
            .chain(Dial {
                names: names.clone(),
            })
            .chain(RustlsConnector::default())
            .chain(Held {
                is_proxied: config.proxy().is_some(),
            });
        let connect = move |details: &ConnectionDetails<'_>| {
            let connection = connector.connect(details, None)?;
            let connection = connection.ok_or(Error::ConnectionFailed)?;
            Ok(Box::new(connection) as Connection)
        };
        Connections {
            config,
            names,
            connect: Arc::new(connect),
            idle: Idle::default(),
        }
    }

    /// One that was kept alive, if there is one that is still open.
    pub(super) fn kept(&self) -> Option<Connection> {
        // Looked at without the lock, for that takes a system call.
        while let Some(mut connection) = self.idle.take(MAX_IDLE_AGE, MAX_OWN_AGE) {
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    /// A new one.
    pub(super) fn fresh(&self, uri: &Uri) -> Result<Connection, Error> {
        let now = time::Instant::now();
        let connection = (self.connect)(&ConnectionDetails {
            uri,
            // `Dial` asks for those it needs.
            addrs: self.names.empty(),
            resolver: &self.names,
            config: &self.config,
            request_level: false,
            now,
            // None: the attempt's deadline holds, so that there is nothing to read a clock for.
            timeout: NextTimeout::default(),
            current_time: Arc::new(move || now),
            run_connector: Arc::clone(&self.connect),
            register_shutdown: Arc::new(|_| Ok(())),
        })?;
        if uri.scheme() == Some(&Scheme::HTTPS) && !connection.is_tls() {
            return Err(Error::TlsRequired);
        }
        Ok(connection)
    }

    /// Keeps one that can serve again.
    pub(super) fn keep(&self, connection: Connection) {
        self.idle
            .put(connection, MAX_IDLE_CONNECTIONS, MAX_IDLE_AGE);
    }

    /// Closes all that are kept.
    pub(super) fn clear(&self) {
        self.idle.clear();
    }
}

/// What is idle, the longest first.
struct Idle<T>(Mutex<VecDeque<Kept<T>>>);

struct Kept<T> {
    since: Instant,
    /// Which thread it served last.
    thread: usize,
    transport: T,
}

impl<T> Default for Idle<T> {
    fn default() -> Idle<T> {
        Idle(Mutex::default())
    }
}

impl<T> Idle<T> {
    /// The thread's own, or else the one that was put back last, so that after a burst the others grow
    /// old; none if that is too long ago.
    fn take(&self, max_age: Duration, max_own_age: Duration) -> Option<T> {
        let (now, thread) = (Instant::now(), this_thread());
        let age = |kept: &Kept<T>| now.saturating_duration_since(kept.since);
        let mut idle = self.locked();
        let last = idle.len().checked_sub(1)?;
        if idle.back().is_some_and(|kept| age(kept) >= max_age) {
            // The others are older still.
            drop(idle);
            self.clear();
            return None;
        }
        let is_own = |kept: &Kept<T>| kept.thread == thread && age(kept) < max_own_age;
        let own = idle.iter().rposition(is_own);
        idle.remove(own.unwrap_or(last)).map(|kept| kept.transport)
    }

    /// Lets go of all.
    fn clear(&self) {
        let all = mem::take(&mut *self.locked());
        // To close them takes system calls, which are not made under the lock.
        drop(all);
    }

    /// Keeps another, and lets go of one that is too old or too many.
    fn put(&self, transport: T, max: usize, max_age: Duration) {
        let (since, thread) = (Instant::now(), this_thread());
        let mut idle = self.locked();
        idle.push_back(Kept {
            since,
            thread,
            transport,
        });
        let is_too_old = idle
            .front()
            .is_some_and(|kept| since.saturating_duration_since(kept.since) >= max_age);
        let gone = (is_too_old || idle.len() > max).then(|| idle.pop_front());
        drop(idle);
        drop(gone);
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Kept<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells this thread from the others that there are.
fn this_thread() -> usize {
    thread_local! {
        // Const and without a destructor, so that it is there even while the thread ends.
        static MARK: u8 = const { 0 };
    }
    MARK.with(|mark| ptr::from_ref(mark).addr())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    #[test]
    fn the_last_to_come_back_is_the_first_to_serve() {
        let idle = Idle::default();
        for number in 0..3 {
            idle.put(number, 3, LONG);
        }
        assert_eq!(idle.take(LONG, LONG), Some(2));
        idle.put(3, 3, LONG);
        assert_eq!(idle.take(LONG, LONG), Some(3));
        assert_eq!(idle.take(LONG, LONG), Some(1));
        assert_eq!(idle.take(LONG, LONG), Some(0));
        assert_eq!(idle.take(LONG, LONG), None);
    }

    #[test]
    fn a_thread_gets_its_own_and_another_the_last() {
        let idle = Idle::default();
        idle.put("of this one", 3, LONG);
        thread::scope(|scope| {
            scope.spawn(|| idle.put("of another", 3, LONG));
        });
        let third = thread::scope(|scope| scope.spawn(|| idle.take(LONG, LONG)).join().unwrap());
        assert_eq!(third, Some("of another"));
        thread::scope(|scope| {
            scope.spawn(|| idle.put("of another", 3, LONG));
        });
        assert_eq!(idle.take(LONG, LONG), Some("of this one"));
        assert_eq!(idle.take(LONG, LONG), Some("of another"));
    }

    #[test]
    fn the_oldest_makes_room() {
        let idle = Idle::default();
        for number in 0..5 {
            idle.put(number, 2, LONG);
        }
        assert_eq!(idle.take(LONG, LONG), Some(4));
        assert_eq!(idle.take(LONG, LONG), Some(3));
        assert_eq!(idle.take(LONG, LONG), None);
    }

    #[test]
    fn what_is_too_old_does_not_serve_and_is_let_go_of() {
        let idle = Idle::default();
        let kept = Arc::new(());
        for _ in 0..3 {
            idle.put(Arc::clone(&kept), 8, LONG);
        }
        assert_eq!(idle.take(Duration::ZERO, LONG), None);
        assert_eq!(Arc::strong_count(&kept), 1);

        idle.put(Arc::clone(&kept), 8, LONG);
        idle.put(Arc::clone(&kept), 8, Duration::ZERO);
        assert_eq!(Arc::strong_count(&kept), 2);
    }
}
