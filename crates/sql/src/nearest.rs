// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What was probably meant.

/// Longer words are no slip of the hand, and comparing costs the product of the lengths.
const MAX_WORD: usize = 64;
/// So much of a word is enough to know the rest.
const MIN_START: usize = 3;

/// The candidate that `word` is a slip or the beginning of, without regard to case.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let word = word.to_lowercase();
    let near = |candidate: &'a str| {
        let lower = candidate.to_lowercase();
        let distance = strsim::osa_distance(&word, &lower);
        // One slip in three letters, but never all letters; two words that share nothing but their length are not near.
        let longer = word.chars().count().max(lower.chars().count());
        let is_start = word.len() >= MIN_START && lower.starts_with(&word);
        (distance <= (longer / 3).clamp(1, 3) && distance < longer.min(word.chars().count()) || is_start)
            .then_some((distance, candidate))
    };
    let found = candidates.into_iter().filter_map(near);
    found.min_by_key(|&(distance, _)| distance).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven_and_other_words_are_not() {
        let words = ["CREATE", "START", "STOP", "RESTART", "DROP", "SHOW", "DESCRIBE", "ROLLBACK", "OR", "TO"];
        let table = [
            ("strat", Some("START")),
            ("STRT", Some("START")),
            ("desc", Some("DESCRIBE")),
            ("droop", Some("DROP")),
            ("ROLBACK", Some("ROLLBACK")),
            ("shwo", Some("SHOW")),
            ("ro", Some("OR")),
            ("select", None),
            ("x", None),
            ("", None),
        ];
        for (word, meant) in table {
            assert_eq!(nearest(word, words), meant, "{word}");
        }
        assert_eq!(nearest(&"START".repeat(1000), words), None);
    }
}
