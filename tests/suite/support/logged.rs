//! What the crate logs in a test's own thread.

use std::cell::RefCell;
use std::sync::Once;

use log::{Level, Log, Metadata, Record};

thread_local! {
    static LINES: RefCell<Option<Vec<(Level, String)>>> = const { RefCell::new(None) };
}

struct Collector;

impl Log for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("opteryx_webhooks")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.with_borrow_mut(|lines| {
                if let Some(lines) = lines {
                    lines.push((record.level(), record.args().to_string()));
                }
            });
        }
    }

    fn flush(&self) {}
}

/// Runs it, and returns with its result what was logged by this thread meanwhile.
pub fn while_running<T>(run: impl FnOnce() -> T) -> (T, Vec<(Level, String)>) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Collector).expect("no other logger is set in this program");
        log::set_max_level(log::LevelFilter::Trace);
    });
    LINES.set(Some(Vec::new()));
    let result = run();
    (result, LINES.take().unwrap_or_default())
}
