// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the lines of an input are, and how they travel.
//!
//! | the line is | the body of a request |
//! | --- | --- |
//! | the event | lines |
//! | the event, and may be empty or hold line ends | JSON objects with `value` |
//! | key and event | JSON objects with `key` and `value` |
//! | a JSON object | the same |

use fnstream_api::event::JsonBytes;
use fnstream_api::json::wrong_in_line;
use fnstream_api::{Events, JsonEvent};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    /// Whether events end with a NUL byte and not with a line.
    pub(super) nul: bool,
    /// Whether a line without a byte is an event.
    pub(super) keep_empty: bool,
    pub(super) kind: Kind,
}

/// What a line is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// The event.
    #[default]
    Event,
    /// A key, these bytes, and the event.
    Keyed(Vec<u8>),
    /// A JSON object.
    Json,
}

/// An event in a body of JSON objects.
#[derive(serde::Serialize)]
struct Object<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<JsonBytes<'a>>,
    value: JsonBytes<'a>,
}

impl Form {
    /// The byte that ends an event.
    pub(super) fn end(&self) -> u8 {
        if self.nul { 0 } else { b'\n' }
    }

    /// Whether events travel as they are.
    fn is_plain(&self) -> bool {
        self.kind == Kind::Event && !self.nul && !self.keep_empty
    }

    /// Adds an event to a body, or says what is wrong with it.
    pub(super) fn add(&self, body: &mut Vec<u8>, line: &[u8]) -> Result<(), String> {
        let object = match &self.kind {
            _ if self.is_plain() => {
                body.extend_from_slice(line);
                return Ok(());
            }
            Kind::Json => {
                serde_json::from_slice::<JsonEvent>(line).map_err(|e| wrong_in_line(&e))?;
                body.extend_from_slice(line);
                return Ok(());
            }
            Kind::Event => Object { key: None, value: JsonBytes(line) },
            Kind::Keyed(separator) => {
                let at = line.windows(separator.len()).position(|bytes| bytes == separator);
                let at = at.ok_or_else(|| format!("there is no '{}' behind a key", separator.escape_ascii()))?;
                Object { key: Some(JsonBytes(&line[..at])), value: JsonBytes(&line[at + separator.len()..]) }
            }
        };
        serde_json::to_writer(body, &object).map_err(|e| e.to_string())
    }

    /// The events of a body.
    pub(super) fn events(&self, body: Vec<u8>) -> Events {
        if self.is_plain() { Events::Lines(body.into()) } else { Events::Json(body.into()) }
    }
}

/// Reads what separates key and event: at least one character, where `\t` is a tab.
pub(super) fn separator(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty".to_owned()),
        "\\t" => Ok("\t".to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(form: &Form, line: &[u8]) -> Result<String, String> {
        let mut body = Vec::new();
        form.add(&mut body, line)?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    #[test]
    fn lines_travel_as_what_they_are() {
        let of = |kind| Form { kind, ..Form::default() };
        assert_eq!(body(&of(Kind::Event), b"{\"a\t").unwrap(), "{\"a\t");
        let nul = Form { nul: true, ..Form::default() };
        assert_eq!(body(&nul, b"a\nb").unwrap(), r#"{"value":"a\nb"}"#);
        assert_eq!(body(&nul, b"\xff").unwrap(), r#"{"value":{"base64":"/w=="}}"#);
        let keyed = of(Kind::Keyed(separator("\\t").unwrap().into_bytes()));
        assert_eq!(body(&keyed, b"k\tv\tw").unwrap(), r#"{"key":"k","value":"v\tw"}"#);
        assert_eq!(body(&keyed, b"\t").unwrap(), r#"{"key":"","value":""}"#);
        assert_eq!(body(&keyed, b"kv").unwrap_err(), "there is no '\\t' behind a key");
        let json = r#"{"value":null,"key":"k"}"#;
        assert_eq!(body(&of(Kind::Json), json.as_bytes()).unwrap(), json);
        assert!(body(&of(Kind::Json), b"{}").unwrap_err().contains("the field 'value' is missing"));
    }
}
