//! A receiver to test webhooks against: the sample Flask receiver's twin.
//!
//! Another program can carry it on a thread of its own:
//!
//! ```ignore
//! #[path = "receiver/receiver.rs"]
//! mod receiver;
//!
//! let receiver = Receiver::bind(&[(Ipv4Addr::LOCALHOST, 0).into()])?;
//! let address = receiver.address;
//! thread::spawn(move || receiver.serve(io::stdout()));
//! ```

mod admission;
mod python;
mod reply;

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use opteryx_webhooks::receiver::Verifier;

use admission::Admission;
use reply::{Answer, Reply, respond};

/// The largest body that is taken, far above any event's.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// How long to wait after a connection could not be accepted, most likely for want of file
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A receiver that has its address, and is not yet being served: who connects by then has to wait.
pub(crate) struct Receiver {
    /// Where it listens; with the port that it got, if it was bound to port 0.
    pub(crate) address: SocketAddr,
    /// Takes only what this verifies, if it is there; by itself it is not.
    pub(crate) verifier: Option<Verifier>,
    listener: TcpListener,
}

impl Receiver {
    /// Takes an address; the first of them that is free.
    pub(crate) fn bind(addresses: &[SocketAddr]) -> io::Result<Receiver> {
        let listener = TcpListener::bind(addresses)?;
        listener.set_nonblocking(true)?;
        Ok(Receiver {
            address: listener.local_addr()?,
            verifier: None,
            listener,
        })
    }

    /// Receives for as long as the program runs, on the calling thread. An event's lines are
    /// written to `output` all at once, and before the sender has its answer.
    pub(crate) fn serve(self, output: impl Write + Send + 'static) -> io::Result<()> {
        let output = Arc::new(Mutex::new(output));
        let admission = Arc::new(Admission::new(self.verifier));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            loop {
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        log::warn!("cannot accept a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let (admission, output) = (Arc::clone(&admission), Arc::clone(&output));
                let service = service_fn(move |request| {
                    answer(request, Arc::clone(&admission), Arc::clone(&output))
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    // Who has sent all that it had to say still gets its answer.
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async {
                    if let Err(error) = connection.await {
                        log::debug!("a connection broke: {error}");
                    }
                });
            }
        })
    }
}

async fn answer(
    request: Request<Incoming>,
    admission: Arc<Admission>,
    output: Arc<Mutex<impl Write>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = read(body).await;
    let body = body.as_deref().map_err(|answer| *answer);
    let Reply { lines, answer } = respond(&head, body, &admission);
    let answer = match write(&lines, &output) {
        Ok(()) => answer,
        Err(error) => {
            log::error!("cannot write: {error}");
            admission.forget(&head);
            Answer::InternalServerError
        }
    };
    log::info!("{} {} {answer:?}", head.method, head.uri);
    Ok(answer.response())
}

/// Reads a body to its end, even if it is not kept, since a sender that first writes and then reads
/// would find a closed connection instead of the answer.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Answer> {
    let mut bytes = Some(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Answer::BadRequest)?;
        if let Some(data) = frame.data_ref() {
            bytes = bytes.filter(|bytes| bytes.len() + data.len() <= BODY_LIMIT);
            if let Some(bytes) = &mut bytes {
                bytes.extend_from_slice(data);
            }
        }
    }
    bytes.ok_or(Answer::ContentTooLarge)
}

fn write(lines: &str, output: &Mutex<impl Write>) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(lines.as_bytes())?;
    output.flush()
}
