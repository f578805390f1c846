//! Rows of text as aligned columns.

use std::fmt;

/// Rows under a head, each column as wide as its widest cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const COLUMNS: usize>(head: [&str; COLUMNS]) -> Self {
        Self { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    /// Adds a row; a cell that is empty is shown as `-`, unless it is the last one.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.to_vec());
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).max(1)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let last = column + 1 == row.len();
                let cell = if cell.is_empty() && !last { "-" } else { cell };
                if last {
                    line.push_str(cell);
                } else {
                    line.push_str(&format!("{cell:width$}  ", width = self.width(column)));
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["BROKER", "STATE", "MESSAGE"]);
        table.row(["orders-0".to_owned(), "Serving".to_owned(), "serves clients".to_owned()]);
        table.row(["ö".to_owned(), String::new(), String::new()]);
        assert_eq!(table.to_string(), "BROKER    STATE    MESSAGE\norders-0  Serving  serves clients\nö         -\n");
    }
}
