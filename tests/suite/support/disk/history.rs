//! What was done to the files of a disk, and what of it would be left.

use std::collections::{BTreeMap, HashMap};

/// Contents by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// The kinds of record; the numbers are preload.c's.
const CREATE: u32 = 0;
const WRITE: u32 = 1;
const TRUNCATE: u32 = 2;
const SYNC: u32 = 3;
const SYNC_FOLDER: u32 = 4;
const DELETE: u32 = 5;
const RENAME: u32 = 6;

/// A file's place in `History::contents`. An inode's number may be used again, this is not.
type File = usize;

#[derive(Clone, Default)]
pub(super) struct History {
    contents: Vec<Content>,
    by_inode: HashMap<u64, File>,
    names: BTreeMap<String, File>,
    synced_names: BTreeMap<String, File>,
    /// What happened to the names since the folder was synced.
    renamings: Vec<Renaming>,
    /// What was being done to a file when the crash came.
    in_flight: Option<(File, Change)>,
}

#[derive(Clone, Default)]
struct Content {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

#[derive(Clone)]
enum Renaming {
    Created(String, File),
    Deleted(String),
    Renamed(String, String),
}

impl History {
    /// Begins with these files, all synced: name, inode, content.
    pub(super) fn new(files: impl IntoIterator<Item = (String, u64, Vec<u8>)>) -> Self {
        let mut history = Self::default();
        for (name, inode, synced) in files {
            let file = history.add(inode);
            history.contents[file].synced = synced;
            history.names.insert(name.clone(), file);
            history.synced_names.insert(name, file);
        }
        history
    }

    fn add(&mut self, inode: u64) -> File {
        self.contents.push(Content::default());
        self.by_inode.insert(inode, self.contents.len() - 1);
        self.contents.len() - 1
    }

    /// Goes through the records that preload.c wrote.
    pub(super) fn replay(&mut self, mut log: &[u8]) {
        while !log.is_empty() {
            let kind = u32::from_ne_bytes(take(&mut log));
            let in_flight = u32::from_ne_bytes(take(&mut log)) != 0;
            let inode = u64::from_ne_bytes(take(&mut log));
            let offset = u64::from_ne_bytes(take(&mut log));
            let name_len = u32::from_ne_bytes(take(&mut log));
            let data_len = u32::from_ne_bytes(take(&mut log));
            let offset = usize::try_from(offset).expect("an offset in memory");
            let name = take_slice(&mut log, name_len);
            let data = take_slice(&mut log, data_len);
            let name = || String::from_utf8(name.to_vec()).expect("a name in UTF-8");
            match kind {
                CREATE => {
                    let file = self.add(inode);
                    self.rename(Renaming::Created(name(), file));
                }
                WRITE => {
                    let bytes = data.to_vec();
                    self.change(inode, in_flight, Change::Write { offset, bytes });
                }
                TRUNCATE => self.change(inode, in_flight, Change::Truncate { len: offset }),
                SYNC => self.sync(self.by_inode[&inode]),
                SYNC_FOLDER => self.sync_names(self.renamings.len()),
                DELETE => self.rename(Renaming::Deleted(name())),
                RENAME => {
                    let to = String::from_utf8(data.to_vec()).expect("a name in UTF-8");
                    self.rename(Renaming::Renamed(name(), to));
                }
                _ => panic!("preload.c writes no record of kind {kind}"),
            }
        }
    }

    fn change(&mut self, inode: u64, in_flight: bool, change: Change) {
        let file = self.by_inode[&inode];
        if in_flight {
            self.in_flight = Some((file, change));
        } else {
            self.contents[file].since.push(change);
        }
    }

    fn rename(&mut self, renaming: Renaming) {
        renaming.apply(&mut self.names);
        self.renamings.push(renaming);
    }

    fn sync(&mut self, file: File) {
        let content = &mut self.contents[file];
        content.synced = content.written();
        content.since.clear();
        let created = self.renamings.iter().position(
            |renaming| matches!(renaming, Renaming::Created(_, created) if *created == file),
        );
        if let Some(created) = created {
            self.sync_names(created + 1);
        }
    }

    fn sync_names(&mut self, count: usize) {
        for renaming in self.renamings.drain(..count) {
            renaming.apply(&mut self.synced_names);
        }
    }

    /// All that was written.
    pub(super) fn written(&self) -> Files {
        self.files(&self.names, |file| self.contents[file].written())
    }

    /// The same, and the beginning of what was being written.
    pub(super) fn torn(&self, seed: u64) -> Files {
        self.files(&self.names, |file| {
            let mut bytes = self.contents[file].written();
            if let Some((torn, Change::Write { offset, bytes: all })) = &self.in_flight
                && *torn == file
            {
                write(&mut bytes, *offset, &all[..chance(&[seed], all.len() + 1)]);
            }
            bytes
        })
    }

    /// What was synced.
    pub(super) fn synced(&self) -> Files {
        self.files(&self.synced_names, |file| {
            self.contents[file].synced.clone()
        })
    }

    /// The same, and some of what was not, as the seed has it.
    pub(super) fn shuffled(&self, seed: u64) -> Files {
        let mut names = self.synced_names.clone();
        let kept = chance(&[seed], self.renamings.len() + 1);
        for renaming in &self.renamings[..kept] {
            renaming.apply(&mut names);
        }
        self.files(&names, |file| {
            let mut content = self.contents[file].clone();
            match &self.in_flight {
                Some((in_flight, change)) if *in_flight == file => {
                    content.since.push(change.clone());
                }
                _ => {}
            }
            content.shuffled(&[seed, file as u64])
        })
    }

    fn files(&self, names: &BTreeMap<String, File>, bytes: impl Fn(File) -> Vec<u8>) -> Files {
        names
            .iter()
            .map(|(name, file)| (name.clone(), bytes(*file)))
            .collect()
    }
}

impl Content {
    fn written(&self) -> Vec<u8> {
        self.after(self.since.len())
    }

    /// After the first so many changes since the sync.
    fn after(&self, changes: usize) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.since[..changes] {
            change.apply(&mut bytes);
        }
        bytes
    }

    /// Each sector, and the length, as after any number of the changes.
    fn shuffled(&self, seed: &[u64]) -> Vec<u8> {
        let versions = self.since.len() + 1;
        let length_at = chance(seed, versions);
        let mut bytes = self.after(length_at);
        // Which sectors have changed, and from which change on such a change can be seen: not from before
        // a truncation that came to the disk, nor from after one that did not.
        let mut sectors = BTreeMap::new();
        for change in &self.since {
            if let Change::Write { offset, bytes } = change {
                for sector in offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR) {
                    sectors.insert(sector, (0, self.since.len()));
                }
            }
        }
        for (at, change) in self.since.iter().enumerate() {
            if let Change::Truncate { len } = change {
                for (_, (from, to)) in sectors.range_mut(len / SECTOR..) {
                    if at < length_at {
                        *from = (*from).max(at + 1);
                    } else {
                        *to = (*to).min(at);
                    }
                }
            }
        }
        let mut by_version: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (sector, (from, to)) in sectors {
            let version = from + chance(&[seed, &[sector as u64]].concat(), to - from + 1);
            by_version.entry(version).or_default().push(sector);
        }
        let mut version = self.synced.clone();
        let mut applied = 0;
        for (number, sectors) in by_version {
            for change in &self.since[applied..number] {
                change.apply(&mut version);
            }
            applied = number;
            for sector in sectors {
                let start = (sector * SECTOR).min(bytes.len());
                let end = (start + SECTOR).min(bytes.len());
                // The length may be of another version than the sector.
                let stands = version.get(start..).unwrap_or_default();
                let stands = &stands[..stands.len().min(end - start)];
                bytes[start..end].fill(0);
                bytes[start..start + stands.len()].copy_from_slice(stands);
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes: new } => write(bytes, *offset, new),
            Self::Truncate { len } => bytes.resize(*len, 0),
        }
    }
}

impl Renaming {
    fn apply(&self, names: &mut BTreeMap<String, File>) {
        match self {
            Self::Created(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Deleted(name) => {
                names.remove(name);
            }
            Self::Renamed(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    if new.is_empty() {
        return;
    }
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

/// One of 0 to `below`, the same for the same seed on every machine (splitmix64).
fn chance(seed: &[u64], below: usize) -> usize {
    let mut state = 0_u64;
    for part in seed {
        state = (state ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^= state >> 31;
    }
    usize::try_from(state % (below as u64)).expect("less than a usize")
}

fn take<const N: usize>(log: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = log.split_first_chunk().expect("records are whole");
    *log = rest;
    *taken
}

fn take_slice<'a>(log: &mut &'a [u8], len: u32) -> &'a [u8] {
    let (taken, rest) = log
        .split_at_checked(len as usize)
        .expect("records are whole");
    *log = rest;
    taken
}
