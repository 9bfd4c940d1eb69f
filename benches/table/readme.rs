//! The part of README that the benchmark writes.

use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- bench -->\n";
const END: &str = "<!-- /bench -->";

/// Whether README has the row: over http there are as many again as over https, and no news.
pub fn shows(name: &str) -> bool {
    !name.starts_with("http,")
        && (name.contains("1 thread,") || name.contains("0.5 KB") || !name.contains("threads"))
}

/// Puts the table and the conditions between the marks.
pub fn write(table: &str, conditions: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("README has the mark");
    let (_, after) = rest.split_once(END).expect("README has the closing mark");
    let written = format!("{before}{BEGIN}\n{table}\n{conditions}\n\n{END}{after}");
    fs::write(path, written).unwrap();
}
