//! Plain tables: columns that are as wide as they must be, two spaces apart.

use std::io::{self, Write};

use anstyle::Style;

use crate::style::{HEAD, PLAIN};

/// Rows of cells, with or without a head above them.
pub(crate) struct Table<const N: usize>(Vec<[Cell; N]>);

/// A text, on one line that nothing in it can break.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl<const N: usize> Table<N> {
    pub(crate) fn headless() -> Table<N> {
        Table(Vec::new())
    }

    pub(crate) fn with_head(head: [&str; N]) -> Table<N> {
        Table(vec![head.map(|text| Cell::new(text, HEAD))])
    }

    pub(crate) fn row(&mut self, cells: [Cell; N]) {
        self.0.push(cells);
    }

    pub(crate) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let mut widths = [0; N];
        for row in &self.0 {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        for row in &self.0 {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let Cell { text, style } = cell;
                write!(output, "{style}{text}{style:#}")?;
                // No spaces at the end of a line.
                if row[column + 1..].iter().any(|cell| !cell.text.is_empty()) {
                    let gap = width - cell.width() + 2;
                    write!(output, "{:gap$}", "")?;
                }
            }
            writeln!(output)?;
        }
        Ok(())
    }
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>, style: Style) -> Cell {
        Cell {
            text: on_one_line(text.as_ref()),
            style,
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text, PLAIN)
    }
}

/// The text with everything escaped that a terminal would not just show. It may come from anywhere.
pub(crate) fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' | '"' | '\\' => line.push(character),
            _ => line.extend(character.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
        let mut table = Table::headless();
        table.row(["a".into(), "b".into(), "c".into()]);
        table.row(["größer".into(), "\u{1b}[2J\n\u{202e}".into(), "".into()]);
        table.row(["".into(), "".into(), "\"it's\"".into()]);
        let mut written = Vec::new();
        table.write(&mut written).unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "a       b                    c\n\
             größer  \\u{1b}[2J\\n\\u{202e}\n\
             \x20                            \"it's\"\n"
        );
    }
}
