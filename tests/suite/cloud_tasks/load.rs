//! Many events at once, and a server that is killed meanwhile.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{notifier, task_of};
use crate::support::queue_server::QueueServer;
use crate::support::{event, eventually};

#[test]
fn of_640_events_from_32_threads_all_are_stored_once() {
    let server = QueueServer::start();
    let notifier = notifier(&server, []);
    let tasks = Mutex::new(HashSet::new());
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let outcome = notifier.notify(&event());
                    tasks.lock().unwrap().insert(task_of(&outcome).to_owned());
                }
            });
        }
    });
    let tasks = tasks.into_inner().unwrap();
    assert_eq!(tasks.len(), 640);
    assert_eq!(server.stored().into_iter().collect::<HashSet<_>>(), tasks);
    assert_eq!((server.calls().len(), server.duplicates()), (640, 0));
    assert_eq!(server.connections(), 1);
}

#[test]
fn no_event_is_lost_while_the_server_is_killed_and_restarted_ten_times() {
    let mut server = QueueServer::start();
    let notifier = notifier(&server, []);
    let (done, tasks) = (AtomicBool::new(false), Mutex::new(HashSet::new()));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    // A failure would be one for want of a retry: ten seconds allow many.
                    let outcome = notifier.notify(&event());
                    tasks.lock().unwrap().insert(task_of(&outcome).to_owned());
                }
            });
        }
        for _ in 0..10 {
            let calls = server.calls().len();
            eventually("the load goes on", || server.calls().len() > calls + 50);
            server.kill();
            thread::sleep(Duration::from_millis(30));
            server.restart();
        }
        done.store(true, Ordering::SeqCst);
    });
    let tasks = tasks.into_inner().unwrap();
    assert!(tasks.len() > 500, "{}", tasks.len());
    assert_eq!(server.stored().into_iter().collect::<HashSet<_>>(), tasks);
}
