// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Guesses what somebody may have meant.

use std::borrow::Cow;

/// The nearest of the known names, unless all are too far to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names of more than that nobody mistypes, and the distance costs the product of the lengths.
    if name.len() > 64 {
        return None;
    }
    let folded = fold(name);
    let distance = |known: &str| strsim::damerau_levenshtein(&folded, &fold(known));
    let (far, nearest) = known.into_iter().map(|known| (distance(known), known)).min_by_key(|(far, _)| *far)?;
    let allowed = (folded.chars().count().max(nearest.len()) / 3).max(1);
    (far <= allowed && far < nearest.len()).then_some(nearest)
}

/// A hint with the nearest of the known names, or with all of them when they are few.
pub(crate) fn of(name: &str, known: &[&str]) -> Option<String> {
    match nearest(name, known.iter().copied()) {
        Some(nearest) => Some(format!("did you mean '{nearest}'?")),
        None if known.is_empty() => None,
        // What stands beside the flat list of outputs is a list of groups.
        None if known == ["inputs"] => {
            Some("a group is 'inputs:' with a list of inputs, or that list alone".to_owned())
        }
        None => Some(format!("known: {}", known.join(", "))),
    }
}

/// Cases, dashes and underscores are what is mistaken most.
fn fold(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.to_lowercase().replace(['_', ' '], "-"))
}

/// A text as part of a message: without line ends and other controls, and not for pages.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("'{}…'", text[..end].escape_debug()),
        None => format!("'{}'", text.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["input-groups", "outputs", "input-selector", "name"];
        for (name, expected) in [
            ("input_groups", Some("input-groups")),
            ("inputgroups", Some("input-groups")),
            ("Outputs", Some("outputs")),
            ("ouput", Some("outputs")),
            ("nmae", Some("name")),
            ("x", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }

    #[test]
    fn a_long_name_is_not_measured() {
        assert_eq!(nearest(&"name".repeat(100_000), ["name"]), None);
        assert_eq!(quoted(&"x".repeat(1000)).chars().count(), 83);
    }
}
