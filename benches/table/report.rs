//! The table as Markdown, and the data as JSON.

use serde_json::{Map, Value, json};

use crate::row::{EVERYONE, Row, Unit, Who};

/// The rows that are wanted, by name, aligned so that it can be read as it is.
pub fn table(rows: &[Row], wanted: impl Fn(&str) -> bool) -> String {
    let mut lines = vec![vec!["one event".to_owned()]];
    lines[0].extend(EVERYONE.map(|who| who.name().to_owned()));
    for row in rows.iter().filter(|row| wanted(&row.name)) {
        let mut line = vec![row.name.clone()];
        line.extend(EVERYONE.map(|who| cell(row, who)));
        lines.push(line);
    }
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..=EVERYONE.len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (value, width)) in line.iter().zip(&widths).enumerate() {
            text += &match column {
                0 => format!("| {value:<width$} |"),
                _ => format!(" {value:>width$} |"),
            };
        }
        text += "\n";
        if number == 0 {
            text += &format!("| {} |", "-".repeat(widths[0]));
            for width in &widths[1..] {
                text += &format!(" {}: |", "-".repeat(width - 1));
            }
            text += "\n";
        }
    }
    text
}

/// The median, and how many times the measure's it is.
fn cell(row: &Row, who: Who) -> String {
    let Some(median) = row.median(who) else {
        return String::new();
    };
    let value = match row.unit {
        Unit::Nanoseconds => time(median),
        Unit::Pieces => number(median),
    };
    if row.lines.len() == 1 {
        return value;
    }
    let ratio = row.ratio(who).unwrap_or(f64::NAN);
    if who == row.measure {
        format!("{value} = 1")
    } else if ratio < 9.95 {
        format!("{value} × {ratio:.2}")
    } else {
        format!("{value} × {ratio:.0}")
    }
}

/// Nanoseconds in the unit that suits them, with three digits.
pub fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        small if small < 999.5 => (small, "ns"),
        middle if middle < 999_500.0 => (middle / 1e3, "µs"),
        large => (large / 1e6, "ms"),
    };
    let digits = match value {
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A whole number in groups of three digits, or a small one with a decimal.
pub fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Each row's lines with their quantiles.
pub fn json(rows: &[Row]) -> String {
    let rows: Map<String, Value> = rows
        .iter()
        .map(|row| (row.name.clone(), of_row(row)))
        .collect();
    format!("{:#}\n", Value::Object(rows))
}

fn of_row(row: &Row) -> Value {
    let lines: Map<String, Value> = row
        .lines
        .iter()
        .map(|line| {
            let value = json!({
                "samples": line.values.len(),
                "p10": line.quantile(0.1),
                "median": line.quantile(0.5),
                "p90": line.quantile(0.9),
                "p99": line.quantile(0.99),
                "ratio": row.ratio(line.who),
            });
            (line.who.name().to_owned(), value)
        })
        .collect();
    let unit = match row.unit {
        Unit::Nanoseconds => "ns",
        Unit::Pieces => "count",
    };
    json!({ "unit": unit, "measure": row.measure.name(), "lines": lines })
}
