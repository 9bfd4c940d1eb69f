//! A tiny data catalog that tells the world what is created in it.
//!
//! `cargo run --example catalog` needs nothing else: it starts a receiver of its own and shows what
//! arrives there. With `OPTERYX_WEBHOOK_DOMAIN` set it sends there instead.

#[path = "receiver/receiver.rs"]
mod receiver;

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::thread;

use opteryx_webhooks::{
    Config, DatasetCreated, Event, Field, Notifier, Outcome, Properties, Schema, ViewCreated,
};
use receiver::Receiver;

/// A catalog as a service would keep it, but in memory.
struct Catalog {
    workspace: String,
    collections: BTreeMap<String, BTreeMap<String, Entry>>,
    notifier: Notifier,
}

/// What a collection holds.
#[expect(dead_code, reason = "a catalog that is only created in never reads")]
enum Entry {
    Dataset {
        location: String,
        columns: Vec<(String, String)>,
    },
    View {
        definition: String,
    },
}

#[derive(Debug)]
enum Refused {
    AlreadyExists(String),
    NoSuchCollection(String),
}

impl Catalog {
    fn new(workspace: &str, notifier: Notifier) -> Catalog {
        let workspace = workspace.to_owned();
        Catalog {
            workspace,
            collections: BTreeMap::new(),
            notifier,
        }
    }

    fn create_collection(&mut self, name: &str) -> Result<(), Refused> {
        if self.collections.contains_key(name) {
            return Err(Refused::AlreadyExists(name.to_owned()));
        }
        self.collections.insert(name.to_owned(), BTreeMap::new());
        Ok(())
    }

    /// Returns what came of the notification, so that this example can show it. A service has no
    /// need to: the dataset is there, whatever that was.
    fn create_dataset(
        &mut self,
        collection: &str,
        name: &str,
        columns: &[(&str, &str)],
        properties: &BTreeMap<String, String>,
    ) -> Result<Outcome, Refused> {
        let location = format!("gs://catalog/{}/{collection}/{name}", self.workspace);
        let owned = |(name, r#type): &(&str, &str)| ((*name).to_owned(), (*r#type).to_owned());
        let columns_kept = columns.iter().map(owned).collect();
        self.insert(
            collection,
            name,
            Entry::Dataset {
                location: location.clone(),
                columns: columns_kept,
            },
        )?;

        // The operation is done; now it is announced.
        let columns = columns.iter();
        let fields: Vec<_> = columns
            .map(|&(name, kind)| Field::new(name, kind))
            .collect();
        Ok(self.notifier.notify(&Event::dataset_created(
            &self.workspace,
            collection,
            name,
            DatasetCreated {
                location: Some(&location),
                properties: Properties::from(properties),
                schema: Some(Schema::from(&fields)),
            },
        )))
    }

    fn create_view(
        &mut self,
        collection: &str,
        name: &str,
        definition: &str,
    ) -> Result<Outcome, Refused> {
        self.insert(
            collection,
            name,
            Entry::View {
                definition: definition.to_owned(),
            },
        )?;

        Ok(self.notifier.notify(&Event::view_created(
            &self.workspace,
            collection,
            name,
            ViewCreated {
                definition,
                ..Default::default()
            },
        )))
    }

    fn insert(&mut self, collection: &str, name: &str, entry: Entry) -> Result<(), Refused> {
        let Some(entries) = self.collections.get_mut(collection) else {
            return Err(Refused::NoSuchCollection(collection.to_owned()));
        };
        if entries.contains_key(name) {
            return Err(Refused::AlreadyExists(format!("{collection}.{name}")));
        }
        entries.insert(name.to_owned(), entry);
        Ok(())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::AlreadyExists(name) => write!(f, "{name} exists already"),
            Refused::NoSuchCollection(name) => write!(f, "there is no collection {name}"),
        }
    }
}

impl Error for Refused {}

fn main() -> ExitCode {
    // Warnings and errors unless RUST_LOG says otherwise: what an operator would see.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run(&mut io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("catalog: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Creates a few things and says whether all that was to be announced was.
fn run(out: &mut impl Write) -> Result<bool, Box<dyn Error>> {
    let domain = env::var_os("OPTERYX_WEBHOOK_DOMAIN").unwrap_or_default();
    let is_set = !domain.to_string_lossy().trim().is_empty();
    let notifier = if is_set {
        Notifier::from_env()
    } else {
        notifier_with_its_own_receiver(out)?
    };
    let mut catalog = Catalog::new("my-workspace", notifier.clone());

    catalog.create_collection("my-collection")?;
    writeln!(out, "Created the collection my-collection.")?;

    writeln!(out, "\nCreating the dataset my-dataset:")?;
    let columns = [("id", "int64"), ("name", "string"), ("at", "timestamp[us]")];
    let properties = BTreeMap::from([("owner".to_owned(), "data-team".to_owned())]);
    let dataset = catalog.create_dataset("my-collection", "my-dataset", &columns, &properties)?;
    writeln!(out, "  outcome  | it {dataset}")?;

    writeln!(out, "\nCreating the view my-view:")?;
    let definition = "SELECT id, name FROM my-collection.my-dataset WHERE name = 'café'";
    let view = catalog.create_view("my-collection", "my-view", definition)?;
    writeln!(out, "  outcome  | it {view}")?;

    writeln!(out, "\nCreating the dataset my-dataset again:")?;
    match catalog.create_dataset("my-collection", "my-dataset", &columns, &properties) {
        Ok(_) => return Err("a duplicate was created".into()),
        Err(refused) => writeln!(out, "  refused  | {refused}; nobody is notified")?,
    }

    writeln!(out, "\n{:?}", notifier.stats())?;
    Ok(dataset.is_ok() && view.is_ok())
}

/// Starts a receiver on a free port of this machine, and makes a notifier for it.
fn notifier_with_its_own_receiver(out: &mut impl Write) -> Result<Notifier, Box<dyn Error>> {
    let receiver = Receiver::bind(&[(Ipv4Addr::LOCALHOST, 0).into()])?;
    let domain = format!("http://{}", receiver.address);
    writeln!(
        out,
        "OPTERYX_WEBHOOK_DOMAIN is not set: this example's own receiver is at {domain}\n"
    )?;
    thread::spawn(move || {
        if let Err(error) = receiver.serve(Indented) {
            eprintln!("catalog: the receiver: {error}");
        }
    });
    Ok(Notifier::new(Config::from_vars([(
        "OPTERYX_WEBHOOK_DOMAIN",
        domain,
    )])?))
}

/// Standard output for what the receiver prints, marked as its own.
struct Indented;

impl Write for Indented {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        for line in String::from_utf8_lossy(bytes).lines() {
            writeln!(out, "  receiver | {line}")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
