//! What this process holds: memory, threads, file descriptors.

use std::fmt;
use std::fs;
use std::io;

/// How far the median of a run's last third may be above that of its second third: resident memory in
/// KiB. Allocators and page caches breathe; what leaks a few bytes at each event of a long run is
/// above it.
const MAX_MEMORY_GROWTH: u64 = 4 * 1024;

/// The same in threads: none.
const MAX_THREAD_GROWTH: u64 = 0;

/// The same in file descriptors: a connection more or less for every other thread that notifies.
const MAX_DESCRIPTOR_GROWTH: u64 = 4;

/// What it is at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// In KiB.
    pub(crate) memory: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

impl Sample {
    /// Asks `/proc`.
    pub(crate) fn take() -> io::Result<Sample> {
        let unknown = |error: io::Error| {
            let problem = "memory, threads and file descriptors cannot be measured here, for want \
                           of a Linux /proc";
            io::Error::new(error.kind(), format!("{problem}: {error}"))
        };
        let status = fs::read_to_string("/proc/self/status").map_err(unknown)?;
        let number = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .ok_or_else(|| unknown(io::Error::other(format!("no {name}"))))
        };
        // The one that reads the folder is not counted.
        let descriptors = fs::read_dir("/proc/self/fd").map_err(unknown)?.count() - 1;
        Ok(Sample {
            memory: number("VmRSS:")?,
            threads: number("Threads:")?,
            descriptors: descriptors as u64,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory as f64 / 1024.0;
        let (threads, descriptors) = (self.threads, self.descriptors);
        write!(f, "{memory:.1} MiB, {threads} threads, {descriptors} fds")
    }
}

type Measure = fn(&Sample) -> u64;

/// The medians of a run's second and last third.
pub(crate) struct Trend {
    second: Sample,
    last: Sample,
}

impl Trend {
    /// None of too few samples.
    pub(crate) fn of(samples: &[Sample]) -> Option<Trend> {
        let third = samples.len() / 3;
        if third == 0 {
            return None;
        }
        Some(Trend {
            second: median(&samples[third..2 * third]),
            last: median(&samples[samples.len() - third..]),
        })
    }

    /// What is not flat.
    pub(crate) fn problems(&self) -> Vec<String> {
        let measures: [(_, _, _, Measure); 3] = [
            ("memory", "KiB", MAX_MEMORY_GROWTH, |s| s.memory),
            ("threads", "", MAX_THREAD_GROWTH, |s| s.threads),
            ("file descriptors", "", MAX_DESCRIPTOR_GROWTH, |s| {
                s.descriptors
            }),
        ];
        let mut problems = Vec::new();
        for (name, unit, bound, of) in measures {
            let (second, last) = (of(&self.second), of(&self.last));
            if last > second + bound {
                problems.push(format!(
                    "{name} not flat: from {second} to {last} {unit}, where {bound} more are allowed"
                ));
            }
        }
        problems
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (second, last) = (&self.second, &self.last);
        write!(f, "{second} in the second third, {last} in the last")
    }
}

fn median(samples: &[Sample]) -> Sample {
    let of = |of: Measure| {
        let mut values: Vec<_> = samples.iter().map(of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    Sample {
        memory: of(|sample| sample.memory),
        threads: of(|sample| sample.threads),
        descriptors: of(|sample| sample.descriptors),
    }
}
