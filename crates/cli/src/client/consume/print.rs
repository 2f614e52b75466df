// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How events look.
//!
//! | form | an event | null | bytes that are no text |
//! | --- | --- | --- | --- |
//! | text | `"a"` | `null` | `{"base64":"/w=="}` |
//! | object | `{"partition":0,"position":"7","timestamp":1,"key":null,"headers":[],"value":"a"}` | `"value":null` | `"value":{"base64":"/w=="}` |
//! | raw | `a` | nothing | the bytes |

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fnstream_api::{ConsumedBatch, LeasedEvent};
use fnstream_core::ErrorCode;
use fnstream_frame::{Frame, RecordView};

use crate::event::{Data, Event};
use crate::failure::{Failure, Result};
use crate::output::{self, Exact};

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The value as one JSON string.
    Text,
    /// All of the event as a JSON object.
    Object,
    /// The bytes of the value.
    Raw {
        /// Whether a line end follows each.
        lines: bool,
    },
}

/// Prints batches.
pub(super) struct Printer {
    form: Form,
    /// What is written at once.
    text: Vec<u8>,
}

impl Printer {
    pub(super) fn new(form: Form) -> Self {
        Printer { form, text: Vec::new() }
    }

    /// Prints the events of a batch; answers how many there are.
    pub(super) fn print(&mut self, batch: &ConsumedBatch) -> Result<u64> {
        let frame = Frame::parse(&batch.frame).map_err(|e| odd(&e))?;
        self.text.clear();
        let place = Place::of(batch, frame.len());
        for (index, record) in frame.iter().enumerate() {
            push(&mut self.text, self.form, &place, index, &record)?;
        }
        self.write()?;
        Ok(frame.len() as u64)
    }

    /// Prints leased events; when it returns, the output has them.
    pub(super) fn print_leased(&mut self, events: &[LeasedEvent]) -> Result {
        self.text.clear();
        events.iter().try_for_each(|event| push_leased(&mut self.text, self.form, event))?;
        self.write()
    }

    fn write(&self) -> Result {
        match self.form {
            Form::Raw { .. } => {
                let mut out = Exact::stdout();
                out.write_all(&self.text)?;
                out.flush()?;
            }
            _ => output::json_text(&String::from_utf8_lossy(&self.text), "")?,
        }
        Ok(())
    }
}

fn odd(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::Internal, format!("the server sent events that cannot be read: {error}"))
}

fn push(out: &mut Vec<u8>, form: Form, place: &Place, index: usize, record: &RecordView<'_>) -> Result {
    let value = record.value.map(Data);
    match form {
        Form::Text => serde_json::to_writer(&mut *out, &value).map_err(|e| odd(&e))?,
        Form::Object => {
            let event = Event::of(place.partition, place.position(index), record);
            serde_json::to_writer(&mut *out, &event).map_err(|e| odd(&e))?;
        }
        Form::Raw { lines } => {
            out.extend_from_slice(record.bytes());
            if !lines {
                return Ok(());
            }
        }
    }
    out.push(b'\n');
    Ok(())
}

/// The same of an event that is leased: the server has told bytes and text apart already.
fn push_leased(out: &mut Vec<u8>, form: Form, event: &LeasedEvent) -> Result {
    match form {
        Form::Text => serde_json::to_writer(&mut *out, &event.value).map_err(|e| odd(&e))?,
        Form::Object => {
            let LeasedEvent { partition, position, timestamp, key, headers, value, .. } = event;
            let object = Leased { partition: *partition, position, timestamp: *timestamp, key, headers, value };
            serde_json::to_writer(&mut *out, &object).map_err(|e| odd(&e))?;
        }
        Form::Raw { lines } => {
            match &event.value {
                Some(fnstream_api::Data::Text(text)) => out.extend_from_slice(text.as_bytes()),
                Some(fnstream_api::Data::Base64 { base64 }) => {
                    out.extend_from_slice(&STANDARD.decode(base64).map_err(|e| odd(&e))?);
                }
                None => {}
            }
            if !lines {
                return Ok(());
            }
        }
    }
    out.push(b'\n');
    Ok(())
}

/// What is printed of an event that is leased.
#[derive(serde::Serialize)]
struct Leased<'a> {
    partition: u32,
    position: &'a str,
    timestamp: i64,
    key: &'a Option<fnstream_api::Data>,
    headers: &'a [fnstream_api::EventHeader],
    value: &'a Option<fnstream_api::Data>,
}

/// Where the events of a batch are.
struct Place {
    partition: u32,
    first: Option<u128>,
    /// Whether positions follow each other without a gap.
    is_dense: bool,
}

impl Place {
    fn of(batch: &ConsumedBatch, len: usize) -> Self {
        let (first, next) = (batch.position.parse::<u128>().ok(), batch.next_position.parse::<u128>().ok());
        let is_dense = first.zip(next).is_some_and(|(first, next)| next.checked_sub(first) == Some(len as u128));
        Place { partition: batch.partition, first, is_dense }
    }

    /// The position of an event, as far as the batch says it.
    fn position(&self, index: usize) -> Option<String> {
        self.first.filter(|_| self.is_dense || index == 0).map(|first| (first + index as u128).to_string())
    }
}

#[cfg(test)]
mod tests {
    use fnstream_frame::{HeadersBuilder, RecordRef};

    use super::*;

    fn shown(form: Form, record: RecordRef<'_>) -> String {
        let (mut out, place) = (Vec::new(), Place { partition: 2, first: Some(7), is_dense: true });
        push(&mut out, form, &place, 1, &record).unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn each_form_tells_null_empty_text_and_bytes_apart() {
        let values = [None, Some(&b""[..]), Some(b"a\"\n"), Some(b"/w=="), Some(&[0xff])];
        let text = ["null\n", "\"\"\n", "\"a\\\"\\n\"\n", "\"/w==\"\n", "{\"base64\":\"/w==\"}\n"];
        for (value, text) in values.into_iter().zip(text) {
            let record = RecordRef { value, ..RecordRef::null() };
            assert_eq!(shown(Form::Text, record), text);
            let object = shown(Form::Object, record.at(5));
            let expected = r#"{"partition":2,"position":"8","timestamp":5,"key":null,"headers":[],"value":"#;
            assert_eq!(object, format!("{expected}{}}}\n", text.trim_end()));
        }
        assert_eq!(shown(Form::Raw { lines: true }, RecordRef::new(b"a")), "a\n");
        assert_eq!(shown(Form::Raw { lines: false }, RecordRef::new(b"a")), "a");
    }

    #[test]
    fn an_object_has_all_of_an_event() {
        let mut headers = HeadersBuilder::new();
        headers.push("h", b"1").unwrap();
        headers.push("h", &[0xff]).unwrap();
        let record = RecordRef::new(b"v").with_key(Some(b"")).with_headers(headers.as_headers()).at(-1);
        let expected = r#"{"partition":2,"position":"8","timestamp":-1,"key":"","headers":[{"name":"h","value":"1"},{"name":"h","value":{"base64":"/w=="}}],"value":"v"}"#;
        assert_eq!(shown(Form::Object, record), format!("{expected}\n"));
    }

    #[test]
    fn a_leased_event_looks_like_any_other() {
        let mut headers = HeadersBuilder::new();
        headers.push("h", b"1").unwrap();
        for value in [None, Some(&b""[..]), Some(b"a\"\n"), Some(b"/w=="), Some(&[0xff])] {
            let record = RecordRef { value, ..RecordRef::null() };
            let record = record.with_key(Some(b"k")).with_headers(headers.as_headers()).at(5);
            let told = format!(r#"{{"receipt":"r","deliveries":1,{}"#, &shown(Form::Object, record)[1..]);
            let event: LeasedEvent = serde_json::from_str(&told).unwrap();
            for form in [Form::Text, Form::Object, Form::Raw { lines: true }, Form::Raw { lines: false }] {
                let mut out = Vec::new();
                push_leased(&mut out, form, &event).unwrap();
                let mut expected = Vec::new();
                let place = Place { partition: 2, first: Some(7), is_dense: true };
                let mut frame = fnstream_frame::FrameBuilder::new();
                frame.push(record);
                let bytes = frame.to_bytes();
                push(&mut expected, form, &place, 1, &Frame::parse(&bytes).unwrap().record(0)).unwrap();
                assert_eq!(out, expected, "{form:?} {value:?}");
            }
        }
    }

    #[test]
    fn a_position_that_the_batch_does_not_say_is_not_guessed() {
        let place = Place { partition: 0, first: Some(7), is_dense: false };
        assert_eq!((place.position(0).as_deref(), place.position(1)), (Some("7"), None));
    }
}
