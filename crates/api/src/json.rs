// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Tells what is wrong with a JSON text, and where, in words that need no knowledge of the program that reads it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What the reader finds wrong with the form of a text, and the same for those who wrote it.
const FORM: &[(&str, &str)] = &[
    ("EOF while parsing", "the text ends too early"),
    ("trailing comma", "nothing follows a comma"),
    ("trailing characters", "more follows behind the value"),
    ("key must be a string", "the name of a field is to be in double quotes"),
    ("expected value", "a value is missing, or is none"),
    ("expected ident", "a value is missing, or is none"),
    ("control character", "a control character in a string is not escaped"),
    ("invalid escape", "a string has a backslash that escapes nothing"),
    ("invalid number", "a number is not well formed"),
    ("number out of range", "a number is too large"),
    ("lone leading surrogate", "a string has half of a character"),
    ("unexpected end of hex escape", "a string has half of a character"),
    ("invalid unicode code point", "a string is not UTF-8"),
    ("recursion limit exceeded", "values are nested too deeply"),
];

/// What the reader calls a kind of value, and what JSON does.
const KINDS: &[(&str, &str)] = &[
    ("struct ", "an object"),
    ("map", "an object"),
    ("a map", "an object"),
    ("sequence", "an array"),
    ("a sequence", "an array"),
    ("tuple ", "an array"),
    ("unit", "null"),
    ("null", "null"),
    ("a boolean", "true or false"),
    ("u8", "a whole number of 0 or more"),
    ("u16", "a whole number of 0 or more"),
    ("u32", "a whole number of 0 or more"),
    ("u64", "a whole number of 0 or more"),
    ("usize", "a whole number of 0 or more"),
    ("i32", "a whole number"),
    ("i64", "a whole number"),
    ("f64", "a number"),
    ("string ", "the text "),
    ("integer ", "the number "),
    ("floating point ", "the number "),
    ("boolean ", ""),
];

/// What is wrong with a text that was read as JSON, with its line and column.
///
/// ```
/// let read = serde_json::from_str::<Vec<u32>>("[1,\n two]");
/// assert_eq!(fnstream_api::json::wrong(&read.unwrap_err()), "line 2, column 3: a value is missing, or is none");
/// ```
pub fn wrong(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let what = words(text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text));
    // A value that is in memory already has no lines.
    if line == 0 { what } else { format!("line {line}, column {column}: {what}") }
}

/// Reads base64.
pub fn base64(text: &str) -> Result<Vec<u8>, String> {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
    STANDARD.decode(text).map_err(|error| match error {
        InvalidByte(at, _) | InvalidLastSymbol { offset: at, .. } => {
            format!("its character {} does not belong there", at + 1)
        }
        InvalidLength(_) | InvalidPadding => "it is not filled up with '=' to a multiple of 4 characters".to_owned(),
    })
}

/// The same of a text that is one line, and stands in a text whose lines are told otherwise.
pub fn wrong_in_line(error: &serde_json::Error) -> String {
    let told = wrong(error);
    told.strip_prefix("line 1, ").unwrap_or(&told).to_owned()
}

fn words(text: &str) -> String {
    if let Some((_, ours)) = FORM.iter().find(|(theirs, _)| text.starts_with(theirs)) {
        return (*ours).to_owned();
    }
    let quoted = text.replace('`', "'");
    let after = |what: &str| quoted.strip_prefix(what);
    // What was found may be a text of the caller, with any words in it.
    let pair =
        |rest: &str| rest.rsplit_once(", expected ").map(|(found, wanted)| (found.to_owned(), wanted.to_owned()));
    let list = |wanted: &str| wanted.strip_prefix("one of ").unwrap_or(wanted).to_owned();
    if let Some(field) = after("missing field ") {
        return format!("the field {field} is missing");
    }
    if let Some(field) = after("duplicate field ") {
        return format!("the field {field} is given twice");
    }
    if let Some((field, known)) = after("unknown field ").and_then(pair) {
        return format!("there is no field {field}; the fields are {}", list(&known));
    }
    if let Some((word, known)) = after("unknown variant ").and_then(pair) {
        return format!("{word} is none of {}", list(&known));
    }
    if let Some((found, wanted)) = after("invalid length ").and_then(pair) {
        // An array is read as the fields of an object in their order, as far as it goes.
        return match kind(&wanted) {
            wanted if wanted == "an object" => format!("{wanted} is expected, not an array"),
            wanted => format!("{wanted} is expected, not {found} values"),
        };
    }
    for what in ["invalid type: ", "invalid value: "] {
        if let Some((found, wanted)) = after(what).and_then(pair) {
            return format!("{} is expected, not {}", kind(&wanted), kind(&found));
        }
    }
    match after("expected ") {
        Some(wanted) => format!("{wanted} is missing"),
        None => quoted,
    }
}

/// A kind of value, perhaps with the value itself.
fn kind(theirs: &str) -> String {
    match KINDS.iter().find(|(name, _)| theirs == *name || (name.ends_with(' ') && theirs.starts_with(name))) {
        Some((name, ours)) if ours.ends_with(' ') || ours.is_empty() => format!("{ours}{}", &theirs[name.len()..]),
        Some((_, ours)) => (*ours).to_owned(),
        None => theirs.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Function, JsonEvent};

    #[test]
    fn what_is_wrong_is_told_in_words_of_ours() {
        let told = |text: &str| serde_json::from_str::<Function>(text).map_or_else(|e| wrong(&e), |_| String::new());
        for (text, expected) in [
            ("", "line 1, column 0: the text ends too early"),
            ("{\n\"archive\": nul", "line 2, column 14: the text ends too early"),
            ("nope", "line 1, column 2: a value is missing, or is none"),
            ("{archive: 1}", "line 1, column 2: the name of a field is to be in double quotes"),
            ("{\"archive\" 1}", "line 1, column 12: ':' is missing"),
            ("{\"archive\":\"a\" 1}", "line 1, column 16: ',' or '}' is missing"),
            ("[]", "line 1, column 2: an object is expected, not an array"),
            ("{\"archive\":1}", "line 1, column 12: a string is expected, not the number '1'"),
            (
                "{\"inputs\":\"a, expected b\"}",
                "line 1, column 25: an array is expected, not the text \"a, expected b\"",
            ),
            ("{\"archive\":\"a\",\"archive\":\"a\"}", "line 1, column 24: the field 'archive' is given twice"),
            ("{\"replicas\":-1}", "line 1, column 14: a whole number of 0 or more is expected, not the number '-1'"),
            ("{}", "line 1, column 2: the field 'archive' is missing"),
            (
                "{\"archive\":\"a\\u0000\",\"inputs\":[],\"output\":\"o\"} x",
                "line 1, column 48: more follows behind the value",
            ),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
        let unknown = told("{\"archiv\":\"a\"}");
        assert!(
            unknown.starts_with("line 1, column 9: there is no field 'archiv'; the fields are 'name', 'archive', ")
        );
    }

    #[test]
    fn what_is_read_of_memory_has_no_place() {
        let error = serde_json::from_value::<JsonEvent>(serde_json::json!({ "key": "k" })).map(|_| ()).unwrap_err();
        assert_eq!(wrong(&error), "the field 'value' is missing");
    }

    #[test]
    fn base64_is_told_where_it_ends_to_be() {
        assert_eq!(base64("YWI="), Ok(b"ab".to_vec()));
        assert_eq!(base64("YW!="), Err("its character 3 does not belong there".to_owned()));
        assert_eq!(base64("YWI"), Err("it is not filled up with '=' to a multiple of 4 characters".to_owned()));
    }
}
