//! A network between the notifier and a server, that fails without telling anyone.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Passes bytes on between its own address and a server's.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    /// Whether connections that are made now are passed on.
    passes: AtomicBool,
    stopping: AtomicBool,
    open: Mutex<Vec<Passage>>,
    /// While there are any, no connection is accepted.
    fillers: Mutex<Vec<TcpStream>>,
}

struct Passage {
    passes: Arc<AtomicBool>,
    ends: [TcpStream; 2],
}

impl Relay {
    pub fn to(server: SocketAddr) -> Relay {
        Relay::start(server, Vec::new(), super::server::listener())
    }

    /// One at which connecting neither succeeds nor fails, until it is mended: its backlog is full.
    pub fn blackhole(server: SocketAddr) -> Relay {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        listener.listen(0).unwrap();
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().unwrap();
        let mut fillers = Vec::new();
        while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            fillers.push(filler);
        }
        Relay::start(server, fillers, listener)
    }

    fn start(server: SocketAddr, fillers: Vec<TcpStream>, listener: TcpListener) -> Relay {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server,
            passes: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
            fillers: Mutex::new(fillers),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            while !accepting.fillers.lock().unwrap().is_empty() {
                thread::sleep(Duration::from_millis(1));
            }
            for socket in listener.incoming() {
                if accepting.stopping.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(socket) = socket {
                    accepting.pass(socket);
                }
            }
        });
        Relay { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing arrives any more on the connections that are open, and they stay so.
    pub fn freeze_open(&self) {
        for passage in &*self.shared.open.lock().unwrap() {
            passage.passes.store(false, Ordering::SeqCst);
        }
    }

    /// The same for those that are made from now on, too.
    pub fn freeze(&self) {
        self.shared.passes.store(false, Ordering::SeqCst);
        self.freeze_open();
    }

    /// From now on, what is sent over a new connection arrives.
    pub fn mend(&self) {
        self.shared.passes.store(true, Ordering::SeqCst);
        self.shared.fillers.lock().unwrap().clear();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.fillers.lock().unwrap().clear();
        let _ = TcpStream::connect(self.address);
        for passage in self.shared.open.lock().unwrap().drain(..) {
            for end in passage.ends {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Shared {
    fn pass(&self, near: TcpStream) {
        let Ok(far) = TcpStream::connect(self.server) else {
            return;
        };
        let passes = Arc::new(AtomicBool::new(self.passes.load(Ordering::SeqCst)));
        for (from, to) in [(&near, &far), (&far, &near)] {
            from.set_nodelay(true).unwrap();
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let passes = Arc::clone(&passes);
            thread::spawn(move || copy(from, to, &passes));
        }
        let ends = [near, far];
        self.open.lock().unwrap().push(Passage { passes, ends });
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, passes: &AtomicBool) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if !passes.load(Ordering::SeqCst) {
            // Neither the bytes nor the end of the connection.
            io::copy(&mut from, &mut io::sink()).ok()?;
            return None;
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            return None;
        }
    }
}
