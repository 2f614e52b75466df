// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How answers look.
//!
//! | format | rows | a statement without rows |
//! | --- | --- | --- |
//! | table | a table, then how many rows | its message |
//! | json | one line: an array of one object for each row | one line: an object with its message |
//! | csv | a header and a line for each row; a blank line between two results | its message on standard error |
//!
//! Many rows come in several answers, and are written as they come: as a table for each answer, and one array or one header for
//! all of them.

use std::io::{Result, Write};
use std::time::Duration;

use serde::Serializer;
use serde_json::Value;

use super::rows::Rows;
use super::session::Answer;
use crate::output::escape::{self, visible};
use crate::output::{self, Listing};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// A line for each statement: an array of objects
    Json,
    /// A header and a line for each row, quoted as RFC 4180 says
    Csv,
}

/// Writes the answers of one run.
pub(super) struct Show<W> {
    out: W,
    format: Format,
    results: usize,
    /// The number of rows that are written of a result of which there are more.
    open: Option<usize>,
}

impl<W: Write> Show<W> {
    /// Nothing is written yet.
    pub(super) fn new(out: W, format: Format) -> Self {
        Show { out, format, results: 0, open: None }
    }

    /// Writes an answer, which may be a part of what there is to show. How long it took is for people only.
    pub(super) fn answer(&mut self, answer: &Answer, took: Option<Duration>) -> Result<()> {
        let (is_first, is_last) = (self.open.is_none(), answer.next.is_none());
        let before = self.open.take().unwrap_or_default();
        let took = took.map(|took| format!(" ({:.3} s)", took.as_secs_f64())).unwrap_or_default();
        match (self.format, &answer.rows) {
            (Format::Table, None) => writeln!(self.out, "{}{took}", visible(&answer.message))?,
            (Format::Table, Some(rows)) => {
                let count = before + rows.rows.len();
                if !rows.rows.is_empty() || (is_last && before == 0) {
                    writeln!(self.out, "{}", table(rows))?;
                }
                if is_last {
                    let rows_ = if count == 1 { "row" } else { "rows" };
                    writeln!(self.out, "{count} {rows_}{took}")?;
                }
            }
            (Format::Json, None) => {
                let text = serde_json::json!({ "message": answer.message }).to_string();
                writeln!(self.out, "{}", escape::json(&text))?;
            }
            (Format::Json, Some(rows)) => {
                if is_first {
                    write!(self.out, "[")?;
                }
                json(&mut self.out, rows, before)?;
                if is_last {
                    writeln!(self.out, "]")?;
                }
            }
            (Format::Csv, None) => output::complain(&answer.message),
            (Format::Csv, Some(rows)) => {
                if is_first && self.results > 0 {
                    writeln!(self.out)?;
                }
                csv(&mut self.out, rows, is_first)?;
            }
        }
        let rows = answer.rows.as_ref().map(|rows| before + rows.rows.len());
        self.open = rows.filter(|_| !is_last);
        self.results += usize::from(rows.is_some() && is_last);
        self.out.flush()
    }

    /// The rest of a result does not come.
    pub(super) fn cut(&mut self) -> Result<()> {
        if self.open.take().is_some() {
            self.results += 1;
            if self.format == Format::Json {
                // No array: whoever reads it sees that it is not whole.
                writeln!(self.out)?;
            }
        }
        self.out.flush()
    }
}

fn table(rows: &Rows) -> Listing {
    let mut table = Listing::framed(&rows.columns);
    for row in &rows.rows {
        table.row(row.iter().map(|value| plain(value, "NULL")));
    }
    for (column, numeric) in rows.numeric.iter().enumerate() {
        if *numeric {
            table.align_right(column);
        }
    }
    table
}

/// A text as it is; anything else as JSON.
fn plain(value: &Value, null: &str) -> String {
    match value {
        Value::Null => null.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Rows as elements of an array that has so many already.
fn json(out: &mut impl Write, rows: &Rows, before: usize) -> Result<()> {
    for (number, row) in rows.rows.iter().enumerate() {
        if before + number > 0 {
            write!(out, ",")?;
        }
        let text = serde_json::to_string(&Object { columns: &rows.columns, row })?;
        out.write_all(escape::json(&text).as_bytes())?;
    }
    Ok(())
}

/// A row with its columns in their order, which a map of serde_json would not keep.
struct Object<'a> {
    columns: &'a [String],
    row: &'a [Value],
}

impl serde::Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns.iter().zip(self.row))
    }
}

fn csv(out: &mut impl Write, rows: &Rows, with_header: bool) -> Result<()> {
    if with_header {
        let header: Vec<_> = rows.columns.iter().map(|name| field(name)).collect();
        writeln!(out, "{}", header.join(","))?;
    }
    for row in &rows.rows {
        let fields: Vec<_> = row
            .iter()
            .map(|value| match value {
                // Nothing is not the empty text.
                Value::Null => String::new(),
                Value::String(text) if text.is_empty() => "\"\"".to_owned(),
                value => field(&plain(value, "")),
            })
            .collect();
        writeln!(out, "{}", fields.join(","))?;
    }
    Ok(())
}

fn field(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Answer {
        let rows = vec![
            vec![json!("word-count"), json!(12)],
            vec![json!("a \"b\",\nc\u{1b}[2J"), json!(null)],
            vec![json!(""), json!(-3)],
        ];
        let rows = Rows { columns: vec!["name".into(), "count".into()], numeric: vec![false, true], rows };
        Answer { message: "3 rows".into(), rows: Some(rows), next: None }
    }

    fn shown(format: Format) -> String {
        let mut out = Vec::new();
        let mut show = Show::new(&mut out, format);
        show.answer(&answer(), None).unwrap();
        show.answer(&Answer { message: "function 'a' stopped".into(), rows: None, next: None }, None).unwrap();
        show.answer(&Answer { rows: Some(Rows { rows: Vec::new(), ..answer().rows.unwrap() }), ..answer() }, None)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_is_for_people() {
        let expected = r#"
+--------------------+-------+
| name               | count |
+============================+
| word-count         |    12 |
| a "b",\nc\u{1b}[2J |  NULL |
|                    |    -3 |
+--------------------+-------+
3 rows
function 'a' stopped
+------+-------+
| name | count |
+==============+
+------+-------+
0 rows
"#;
        assert_eq!(format!("\n{}", shown(Format::Table)), expected);
    }

    #[test]
    fn json_is_a_line_for_each_statement() {
        let expected = r#"[{"name":"word-count","count":12},{"name":"a \"b\",\nc\u001b[2J","count":null},{"name":"","count":-3}]
{"message":"function 'a' stopped"}
[]
"#;
        assert_eq!(shown(Format::Json), expected);
    }

    #[test]
    fn csv_quotes_what_needs_it_and_tells_nothing_from_empty() {
        let expected = "name,count\nword-count,12\n\"a \"\"b\"\",\nc\u{1b}[2J\",\n\"\",-3\n\nname,count\n";
        assert_eq!(shown(Format::Csv), expected);
    }

    #[test]
    fn rows_that_come_in_parts_are_one_result() {
        let part = |next: Option<&str>, rows: usize| {
            let mut part = Answer { next: next.map(str::to_owned), ..answer() };
            part.rows.as_mut().unwrap().rows.truncate(rows);
            part
        };
        let shown = |format| {
            let mut out = Vec::new();
            let mut show = Show::new(&mut out, format);
            for (next, rows) in [(Some("a"), 0), (Some("b"), 1), (Some("c"), 0), (None, 1)] {
                show.answer(&part(next, rows), None).unwrap();
            }
            show.answer(&part(Some("d"), 1), None).unwrap();
            show.cut().unwrap();
            show.answer(&part(None, 0), None).unwrap();
            String::from_utf8(out).unwrap()
        };
        let row = r#"{"name":"word-count","count":12}"#;
        assert_eq!(shown(Format::Json), format!("[{row},{row}]\n[{row}\n[]\n"), "an array that is cut is no array");
        let row = "word-count,12";
        assert_eq!(shown(Format::Csv), format!("name,count\n{row}\n{row}\n\nname,count\n{row}\n\nname,count\n"));
        let table = shown(Format::Table);
        assert_eq!((table.matches("word-count").count(), table.matches("2 rows\n").count()), (3, 1), "{table}");
        assert!(table.ends_with("0 rows\n"), "{table}");
    }

    #[test]
    fn people_are_told_how_long_it_took() {
        let mut out = Vec::new();
        let answer = Answer { message: "function 'a' stopped".into(), rows: None, next: None };
        Show::new(&mut out, Format::Table).answer(&answer, Some(Duration::from_micros(12_345))).unwrap();
        assert_eq!(out, b"function 'a' stopped (0.012 s)\n");
    }
}
