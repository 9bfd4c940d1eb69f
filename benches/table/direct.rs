//! Straight to a receiver: warm and fresh, by one thread and by many, http and https, small and large.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use opteryx_webhooks::Message;

use crate::curl::Curl;
use crate::event::Dataset;
use crate::peers;
use crate::raw;
use crate::reference::Reference;
use crate::row::{Row, Who};
use crate::site::{Site, Trust};
use crate::team::Team;

/// The bodies' sizes, in bytes.
const SIZES: [usize; 3] = [512, 2 * 1024, 64 * 1024];

/// How many threads send at once.
const THREADS: [usize; 3] = [1, 8, 32];

/// How many events a line sends in one turn, by threads: each of them over a connection that is open,
/// and each over one of its own.
const WARM_EVENTS: [usize; 3] = [32, 128, 128];
const FRESH_EVENTS: [usize; 3] = [3, 16, 32];

/// How many events go before those that are timed, so that code and data are near, too.
const FIRST_EVENTS: usize = 4;

/// How many a process that another language's library runs in sends.
const PYTHON_EVENTS: usize = 1;

/// The row's name, by which the bars and the plot find it.
pub fn name(scheme: &str, is_warm: bool, threads: usize, size: usize) -> String {
    let warmth = if is_warm { "warm" } else { "fresh" };
    let plural = if threads == 1 { "" } else { "s" };
    let size = if size < 1024 {
        "0.5".to_owned()
    } else {
        (size / 1024).to_string()
    };
    format!("{scheme}, {warmth}, {threads} thread{plural}, {size} KB")
}

/// A way to send the message once; the number is the thread's.
type Send = Arc<dyn Fn(usize) + std::marker::Send + Sync>;

pub fn rows() -> Vec<Row> {
    let trust = Trust::new();
    let most = THREADS[THREADS.len() - 1];
    let team = Rc::new(Team::new(most));
    let datasets = SIZES.map(Dataset::of_size);
    let mut rows = Vec::new();
    for (scheme, trust) in [("https", Some(&trust)), ("http", None)] {
        for (is_warm, events) in [(true, WARM_EVENTS), (false, FRESH_EVENTS)] {
            for (threads, events) in THREADS.into_iter().zip(events) {
                // One for each, or a single thread would find the many threads' connections.
                let site = Site::new(trust, is_warm, threads);
                let messages = datasets.each_ref().map(|dataset| dataset.message());
                // The reference knows https alone, and its threads take turns in any case.
                let reference = (threads == 1 && trust.is_some())
                    .then(|| Rc::new(RefCell::new(Reference::direct(&site, &messages))));
                for (at, size) in SIZES.into_iter().enumerate() {
                    let mut row = Row::new(name(scheme, is_warm, threads, size), Who::ByHand);
                    for (who, send) in ways(&site, &datasets[at], is_warm) {
                        if threads == 1 {
                            row.line(who, alone(send, is_warm, events));
                        } else {
                            row.line(
                                who,
                                at_once(Rc::clone(&team), threads, send, is_warm, events),
                            );
                        }
                    }
                    if threads == 1 {
                        let curl = Curl::new(&site, &messages[at], events);
                        row.line(Who::Curl, move |times| times.extend(curl.run()));
                    }
                    if let Some(reference) = reference.clone() {
                        row.line(Who::Python, move |times| {
                            let mut reference = reference.borrow_mut();
                            times.extend((0..PYTHON_EVENTS).map(|_| reference.send(at)));
                        });
                    }
                    rows.push(row);
                }
            }
        }
    }
    rows
}

/// One event after the other, each timed by itself.
fn alone(send: Send, is_warm: bool, events: usize) -> impl FnMut(&mut Vec<f64>) {
    move |times| {
        if is_warm {
            (0..FIRST_EVENTS).for_each(|_| send(0));
        }
        for _ in 0..events {
            let started = Instant::now();
            send(0);
            times.push(started.elapsed().as_secs_f64() * 1e9);
        }
    }
}

/// Many threads' events, which share the time that all of them took.
fn at_once(
    team: Rc<Team>,
    threads: usize,
    send: Send,
    is_warm: bool,
    events: usize,
) -> impl FnMut(&mut Vec<f64>) {
    let each = events / threads;
    move |times| {
        let taken = team.run(threads, each, is_warm, &send);
        #[allow(clippy::cast_precision_loss)]
        times.push(taken.as_secs_f64() * 1e9 / (each * threads) as f64);
    }
}

fn ways(site: &Arc<Site>, dataset: &Arc<Dataset>, is_warm: bool) -> [(Who, Send); 4] {
    let message = Arc::new(dataset.message());
    let request = raw::request(&message, &site.address.to_string());
    let by_hand = {
        let site = Arc::clone(site);
        move |thread: usize| {
            let mut client = site.by_hand[thread].lock().unwrap();
            if is_warm {
                client.send(&request);
            } else {
                client.send_afresh(&request);
            }
        }
    };
    let ours = {
        let (site, dataset) = (Arc::clone(site), Arc::clone(dataset));
        move |_| {
            let outcome = site.notifier.notify(&dataset.event());
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    };
    let way = |post: fn(&Site, &Message)| {
        let (site, message) = (Arc::clone(site), Arc::clone(&message));
        move |_: usize| post(&site, &message)
    };
    [
        (Who::ByHand, Arc::new(by_hand)),
        (Who::Ours, Arc::new(ours)),
        (
            Who::Ureq,
            Arc::new(way(|site, message| {
                peers::post_by_ureq(&site.ureq, &site.url, message);
            })),
        ),
        (
            Who::Reqwest,
            Arc::new(way(|site, message| {
                peers::post_by_reqwest(&site.reqwest, &site.url, message);
            })),
        ),
    ]
}
