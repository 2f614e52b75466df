// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Tables and lists of fields, whose values are safe to look at and not too long.

use std::fmt;

use comfy_table::{Cell, CellAlignment, Table};

use super::escape::{cell, field};

/// A table for people.
pub(crate) struct Listing(Table);

impl Listing {
    /// Columns without lines between them.
    pub(crate) fn new<'a>(header: impl IntoIterator<Item = &'a str>) -> Self {
        let mut listing = Self::without_header();
        listing.0.set_header(header);
        listing
    }

    /// The same without names of columns.
    pub(crate) fn without_header() -> Self {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        Listing(table)
    }

    /// Columns with lines around them. Their names are somebody else's too.
    pub(crate) fn framed(columns: &[String]) -> Self {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::ASCII_FULL_CONDENSED).set_header(columns.iter().map(|name| cell(name)));
        Listing(table)
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, values: impl IntoIterator<Item = String>) {
        self.0.add_row(values.into_iter().map(|value| Cell::new(cell(&value))));
    }

    /// Puts the values of a column to its right side.
    pub(crate) fn align_right(&mut self, column: usize) {
        if let Some(column) = self.0.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Fields in lines of their own: a name and a value.
pub(crate) struct Fields {
    width: usize,
    text: String,
}

impl Fields {
    /// No field yet; values begin behind so many columns.
    pub(crate) fn new(width: usize) -> Self {
        Fields { width, text: String::new() }
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &str, value: impl AsRef<str>) {
        let width = self.width;
        let line = format!("{name:<width$}{}", field(value.as_ref(), width));
        self.text += line.trim_end_matches(' ');
        self.text.push('\n');
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_their_place() {
        let mut table = Listing::new(["NAME", "WHY"]);
        table.row(["a".into(), "x\nADMIN  ok\u{1b}[1A".into()]);
        let shown = table.to_string();
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(shown.contains(r"x\nADMIN  ok\u{1b}[1A"), "{shown}");

        let mut fields = Fields::new(6);
        fields.push("name", "a\nstate fine");
        fields.push("empty", "");
        assert_eq!(fields.to_string(), "name  a\n      state fine\nempty\n");
    }
}
