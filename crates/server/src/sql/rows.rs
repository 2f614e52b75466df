// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Rows as a stream of Arrow IPC: one schema, one batch, and the end.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array, UInt64Array,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Field, Schema};
use fnstream_core::error::internal;
use fnstream_core::{Error, Result};

/// The columns of some rows. All have the same length.
#[derive(Default)]
pub(super) struct Rows {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Rows {
    /// Adds a column of text.
    pub(super) fn text<T: AsRef<str>>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        self.with(name, false, Arc::new(StringArray::from_iter_values(values)))
    }

    /// Adds a column of numbers.
    pub(super) fn u32(self, name: &str, values: impl IntoIterator<Item = u32>) -> Self {
        self.with(name, false, Arc::new(UInt32Array::from_iter_values(values)))
    }

    /// Adds a column of numbers.
    pub(super) fn u64(self, name: &str, values: impl IntoIterator<Item = u64>) -> Self {
        self.with(name, false, Arc::new(UInt64Array::from_iter_values(values)))
    }

    /// Adds a column of numbers, some of which may be missing.
    pub(super) fn optional_u64(self, name: &str, values: impl IntoIterator<Item = Option<u64>>) -> Self {
        self.with(name, true, Arc::new(UInt64Array::from_iter(values)))
    }

    /// Adds a column of bytes.
    pub(super) fn bytes<T: AsRef<[u8]>>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        self.with(name, false, Arc::new(BinaryArray::from_iter_values(values)))
    }

    /// Adds a column of bytes, some of which may be missing.
    pub(super) fn optional_bytes<T: AsRef<[u8]>>(
        self,
        name: &str,
        values: impl IntoIterator<Item = Option<T>>,
    ) -> Self {
        self.with(name, true, Arc::new(BinaryArray::from_iter(values)))
    }

    /// Adds a column of moments, in milliseconds since the Unix epoch.
    pub(super) fn times(self, name: &str, values: impl IntoIterator<Item = i64>) -> Self {
        let times = TimestampMillisecondArray::from_iter_values(values).with_timezone("UTC");
        self.with(name, false, Arc::new(times))
    }

    /// Adds a column of moments, some of which may be missing.
    pub(super) fn optional_times(self, name: &str, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        let times = TimestampMillisecondArray::from_iter(values).with_timezone("UTC");
        self.with(name, true, Arc::new(times))
    }

    /// The stream.
    pub(super) fn encode(self) -> Result<Vec<u8>> {
        let schema = Arc::new(Schema::new(self.fields));
        let mut stream = Vec::new();
        let write = || {
            let rows = RecordBatch::try_new(schema.clone(), self.columns)?;
            let mut writer = StreamWriter::try_new(&mut stream, &schema)?;
            writer.write(&rows)?;
            writer.finish()
        };
        write().map_err(broken)?;
        Ok(stream)
    }

    fn with(mut self, name: &str, nullable: bool, column: ArrayRef) -> Self {
        self.fields.push(Field::new(name, column.data_type().clone(), nullable));
        self.columns.push(column);
        self
    }
}

fn broken(error: ArrowError) -> Error {
    internal(format!("rows could not be encoded: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_ipc::reader::StreamReader;

    use super::*;

    #[test]
    fn a_stream_holds_its_columns_and_ends() {
        let rows = Rows::default()
            .text("name", ["a", "b"])
            .optional_bytes("key", [Some(&b"\xff"[..]), None])
            .optional_u64("most", [None, Some(7)])
            .times("at", [1, 2]);
        let stream = rows.encode().unwrap();
        let mut reader = StreamReader::try_new(stream.as_slice(), None).unwrap();
        let batch = reader.next().unwrap().unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (2, 4));
        assert_eq!(batch.column(0).as_string::<i32>().value(1), "b");
        assert!(batch.column(1).is_null(1) && batch.column(2).is_null(0));
        assert!(reader.next().is_none());
    }

    #[test]
    fn no_rows_still_have_their_columns() {
        let stream = Rows::default().text("name", [""; 0]).u64("n", []).encode().unwrap();
        let mut reader = StreamReader::try_new(stream.as_slice(), None).unwrap();
        assert_eq!(reader.schema().fields().len(), 2);
        assert_eq!(reader.next().unwrap().unwrap().num_rows(), 0);
    }
}
