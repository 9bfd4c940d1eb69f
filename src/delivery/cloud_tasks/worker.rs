//! The thread that speaks to Cloud Tasks.

use std::io;
use std::mem;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::connection::Settings;
use super::service::{Call, Failure, Reply, Service};
use crate::error::DeliveryError;

/// How many jobs may wait for the worker to look at them, which it does at once: only a worker that
/// hangs ever lets so many gather.
const MAX_WAITING: usize = 1024;

/// How many threads look up names and read files for the worker. A lookup that hangs keeps its
/// thread until the resolver gives up.
const MAX_BLOCKING_THREADS: usize = 8;

/// A thread with a runtime of its own. It ends when the last reference to its worker is gone.
pub(super) struct Worker {
    /// None only while it is dropped.
    jobs: Option<Sender<Job>>,
    /// The process whose thread it is.
    pid: u32,
}

/// Counts a thread for as long as it is kept.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Job {
    call: Call,
    deadline: Instant,
    answer: SyncSender<Result<Reply, Failure>>,
}

/// What the worker made of a job.
pub(super) enum Answer {
    Done(Reply),
    Failed(DeliveryError),
    /// It failed, and so will all that follow on this worker.
    Stuck(DeliveryError),
    /// It is not known, for the time is up.
    Late,
    /// The worker has ended, or what it did for this job has panicked.
    Gone,
}

impl Worker {
    /// Starts the thread, which counts as alive until it ends.
    pub(super) fn start(settings: Settings, alive: &Arc<AtomicUsize>) -> io::Result<Worker> {
        let (jobs, queue) = channel(MAX_WAITING);
        alive.fetch_add(1, Ordering::Relaxed);
        let alive = Alive(Arc::clone(alive));
        thread::Builder::new()
            .name("opteryx-webhooks".to_owned())
            .spawn(move || {
                let _alive = alive;
                run(settings, queue);
            })?;
        Ok(Worker {
            jobs: Some(jobs),
            pid: process::id(),
        })
    }

    /// Has a call made. The worker gives up at the deadline; `latest` is when the caller does.
    pub(super) fn make(&self, call: Call, deadline: Instant, latest: Instant) -> Answer {
        // One place, so that the worker never waits for a caller that has gone away.
        let (answer, answers) = sync_channel(1);
        let job = Job {
            call,
            deadline,
            answer,
        };
        // Not the sending that waits: it panics inside a runtime.
        let is_taken = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.try_send(job).is_ok());
        if !is_taken {
            return Answer::Gone;
        }
        match answers.recv_timeout(latest.saturating_duration_since(Instant::now())) {
            Ok(Ok(reply)) => Answer::Done(reply),
            Ok(Err(failure)) if failure.is_stuck => Answer::Stuck(failure.error),
            Ok(Err(failure)) => Answer::Failed(failure.error),
            Err(RecvTimeoutError::Timeout) => Answer::Late,
            Err(RecvTimeoutError::Disconnected) => Answer::Gone,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.pid != process::id() {
            // In a forked child the thread is not there, and its locks may be held for ever.
            mem::forget(self.jobs.take());
        }
    }
}

fn run(settings: Settings, mut jobs: Receiver<Job>) {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // To whoever asked; the next event gets another thread.
            if let Some(job) = jobs.blocking_recv() {
                let error = DeliveryError::new("no runtime to speak to Cloud Tasks with")
                    .with_source(error);
                let _ = job.answer.send(Err(Failure::stuck(error)));
            }
            return;
        }
    };
    let service = Arc::new(Service::new(settings));
    runtime.block_on(async {
        while let Some(job) = jobs.recv().await {
            let service = Arc::clone(&service);
            // A panic ends this job alone, and its caller sees the answer's other end go away.
            tokio::spawn(async move {
                let result = service.make(&job.call, job.deadline).await;
                // A caller that has given up needs no answer.
                let _ = job.answer.try_send(result);
            });
        }
    });
    // Without waiting for a name lookup that hangs.
    runtime.shutdown_background();
}
