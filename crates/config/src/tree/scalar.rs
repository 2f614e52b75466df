// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Single values, as they were written. The core schema of YAML 1.2 decides what a plain one is: `yes`, `on` and
//! `2024-01-31` are text.

/// A single value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar {
    /// As written, without quotes and escapes.
    pub text: String,
    /// Neither in quotes nor a block of lines nor tagged as text, so that it may be something else.
    pub plain: bool,
}

/// The shape of a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    Bool(bool),
    /// A whole number in decimal digits, perhaps with a sign.
    Whole,
    /// Another number: a fraction, an exponent, another base, infinity, no number.
    Number,
    Text,
}

impl Shape {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Shape::Null => "nothing",
            Shape::Bool(_) => "a boolean",
            Shape::Whole | Shape::Number => "a number",
            Shape::Text => "text",
        }
    }
}

impl Scalar {
    pub(crate) fn shape(&self) -> Shape {
        if !self.plain {
            return Shape::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Shape::Null,
            "true" | "True" | "TRUE" => Shape::Bool(true),
            "false" | "False" | "FALSE" => Shape::Bool(false),
            text => number(text),
        }
    }
}

fn number(text: &str) -> Shape {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let based = |prefix, radix| {
        text.strip_prefix(prefix).is_some_and(|rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
    };
    if digits(unsigned) {
        return Shape::Whole;
    }
    let special = matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    if special || based("0x", 16) || based("0o", 8) {
        return Shape::Number;
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa = (digits(whole) && (part.is_empty() || digits(part))) || (whole.is_empty() && digits(part));
    let exponent = exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    if mantissa && exponent { Shape::Number } else { Shape::Text }
}
