//! Threads that do something at the same time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

type Job = Arc<dyn Fn(usize) + Send + Sync>;

struct Order {
    job: Job,
    /// Before the clock starts, once by each.
    warms_up: bool,
    times: usize,
    ready: Arc<Barrier>,
}

/// As many threads as are ever needed at once, kept from turn to turn.
pub struct Team {
    orders: Vec<Sender<Order>>,
    reports: Receiver<(Instant, Instant)>,
}

impl Team {
    pub fn new(threads: usize) -> Team {
        let (report, reports) = channel();
        let orders = (0..threads).map(|number| {
            let (order, orders) = channel::<Order>();
            let report = report.clone();
            thread::spawn(move || {
                for order in orders {
                    if order.warms_up {
                        (order.job)(number);
                    }
                    order.ready.wait();
                    let started = Instant::now();
                    for _ in 0..order.times {
                        (order.job)(number);
                    }
                    let _ = report.send((started, Instant::now()));
                }
            });
            order
        });
        Team {
            orders: orders.collect(),
            reports,
        }
    }

    /// So many threads do it so many times each, given their number: the time from the first that
    /// begins to the last that is done.
    pub fn run(&self, threads: usize, times: usize, warms_up: bool, job: &Job) -> Duration {
        let ready = Arc::new(Barrier::new(threads));
        for order in &self.orders[..threads] {
            let order_to_it = Order {
                job: Arc::clone(job),
                warms_up,
                times,
                ready: Arc::clone(&ready),
            };
            order.send(order_to_it).expect("the thread is there");
        }
        let reports: Vec<_> = (0..threads)
            .map(|_| self.reports.recv().expect("no thread failed"))
            .collect();
        let first = reports.iter().map(|(started, _)| *started).min();
        let last = reports.iter().map(|(_, ended)| *ended).max();
        last.unwrap() - first.unwrap()
    }
}
