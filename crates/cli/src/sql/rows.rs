// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Rows of an answer: an Arrow IPC stream decoded to plain values.
//!
//! Bytes that are readable text become that text, others `\x` and their hexadecimal digits; times become text in UTC.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMillisecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, TimeUnit};
use fnstream_api::units::format_time;
use fnstream_core::ErrorCode;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::output::escape;

/// A table.
#[derive(Debug, PartialEq)]
pub(super) struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Whether a column holds numbers.
    pub numeric: Vec<bool>,
    /// The values, by row.
    pub rows: Vec<Vec<Value>>,
}

impl Rows {
    /// Decodes what a server sent.
    pub(super) fn decode(data: &[u8]) -> Result<Self> {
        let odd = |e: arrow_schema::ArrowError| {
            Failure::new(ErrorCode::Internal, format!("the server sent rows that are not an Arrow stream: {e}"))
        };
        let reader = StreamReader::try_new(data, None).map_err(odd)?;
        let schema = reader.schema();
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        let numeric = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
        let mut rows = Vec::new();
        for batch in reader {
            push(&mut rows, &batch.map_err(odd)?)?;
        }
        Ok(Rows { columns, numeric, rows })
    }

    /// The texts of a column; none if there is no such column.
    pub(super) fn texts(&self, column: &str) -> Vec<String> {
        let Some(at) = self.columns.iter().position(|name| name == column) else { return Vec::new() };
        self.rows.iter().filter_map(|row| row[at].as_str().map(str::to_owned)).collect()
    }
}

fn push(rows: &mut Vec<Vec<Value>>, batch: &RecordBatch) -> Result {
    for row in 0..batch.num_rows() {
        rows.push(batch.columns().iter().map(|column| value(column.as_ref(), row)).collect::<Result<_>>()?);
    }
    Ok(())
}

fn value(column: &dyn Array, row: usize) -> Result<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int8 => number::<Int8Type>(column, row),
        DataType::Int16 => number::<Int16Type>(column, row),
        DataType::Int32 => number::<Int32Type>(column, row),
        DataType::Int64 => number::<Int64Type>(column, row),
        DataType::UInt8 => number::<UInt8Type>(column, row),
        DataType::UInt16 => number::<UInt16Type>(column, row),
        DataType::UInt32 => number::<UInt32Type>(column, row),
        DataType::UInt64 => number::<UInt64Type>(column, row),
        DataType::Float32 => number::<Float32Type>(column, row),
        DataType::Float64 => number::<Float64Type>(column, row),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            format_time(column.as_primitive::<TimestampMillisecondType>().value(row)).into()
        }
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Binary => bytes(column.as_binary::<i32>().value(row)).into(),
        DataType::LargeBinary => bytes(column.as_binary::<i64>().value(row)).into(),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|item| value(items.as_ref(), item)).collect::<Result<_>>()?)
        }
        other => {
            let message = format!("the server sent a column of a type that cannot be shown: {other}");
            return Err(Failure::new(ErrorCode::Internal, message));
        }
    })
}

fn number<T: ArrowPrimitiveType>(column: &dyn Array, row: usize) -> Value
where
    Value: From<T::Native>,
{
    column.as_primitive::<T>().value(row).into()
}

fn bytes(bytes: &[u8]) -> String {
    let text = escape::bytes(bytes);
    if text.chars().any(char::is_control) { escape::hex(bytes) } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BinaryArray, BooleanArray, StringArray, TimestampMillisecondArray, UInt64Array};
    use arrow_ipc::writer::StreamWriter;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_type_is_shown_as_what_it_is() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("text", Arc::new(StringArray::from(vec![Some("a"), None]))),
            ("count", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
            ("flag", Arc::new(BooleanArray::from(vec![true, false]))),
            ("bytes", Arc::new(BinaryArray::from(vec![b"k".as_slice(), &[0, 255]]))),
            ("time", Arc::new(TimestampMillisecondArray::from(vec![0, 1_709_164_800_123]))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let mut data = Vec::new();
        let mut writer = StreamWriter::try_new(&mut data, &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch.slice(0, 1)).unwrap();
        writer.finish().unwrap();

        let rows = Rows::decode(&data).unwrap();
        assert_eq!(rows.columns, ["text", "count", "flag", "bytes", "time"]);
        assert_eq!(rows.numeric, [false, true, false, false, false]);
        let first = vec![json!("a"), json!(u64::MAX), json!(true), json!("k"), json!("1970-01-01T00:00:00.000Z")];
        let second = vec![json!(null), json!(0), json!(false), json!(r"\x00ff"), json!("2024-02-29T00:00:00.123Z")];
        assert_eq!(rows.rows, [first.clone(), second, first]);
        assert_eq!(rows.texts("text"), ["a", "a"]);
        assert!(rows.texts("none").is_empty());
    }

    #[test]
    fn what_is_no_arrow_stream_is_an_error() {
        assert!(Rows::decode(b"rows").is_err());
        assert!(Rows::decode(b"").is_err());
    }
}
