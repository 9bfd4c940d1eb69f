//! What an event costs that goes nowhere: no allocation.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use opteryx_webhooks::{
    Config, DatasetCreated, Event, Field, Notifier, Outcome, Properties, Recorder, Schema,
};

fn allocations(notifier: &Notifier, expected: fn(&Outcome) -> bool) -> u64 {
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            let outcome = notifier.notify(&Event::dataset_created(
                "my-workspace",
                "my-collection",
                "my-dataset",
                DatasetCreated {
                    location: Some("gs://bucket/path"),
                    properties: Properties::from(&[("owner", "data-team")]),
                    schema: Some(Schema::from(&[Field::new("id", "int64")])),
                },
            ));
            assert!(expected(&outcome));
        }
    });
    counted.count_total
}

fn notifier(events: &str) -> Notifier {
    let config = Config::from_vars([
        ("OPTERYX_WEBHOOK_EVENTS", events),
        (
            "OPTERYX_WEBHOOK_SECRET",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        ),
        ("OPTERYX_WEBHOOK_HEADERS", "x-team=data"),
    ])
    .unwrap();
    Notifier::with_config_and_delivery(config, Recorder::new())
}

#[test]
fn a_filtered_event_allocates_nothing() {
    let notifier = notifier("view.* dataset.delete");
    assert_eq!(
        allocations(&notifier, |o| matches!(o, Outcome::Filtered)),
        0
    );
}

#[test]
fn an_event_on_a_notifier_that_is_off_allocates_nothing() {
    let off = Notifier::disabled();
    assert_eq!(allocations(&off, |o| matches!(o, Outcome::Disabled)), 0);
}

#[test]
fn an_event_that_is_sent_is_what_allocations_are_counted_of() {
    assert!(allocations(&notifier("dataset.*"), Outcome::is_ok) > 0);
}
