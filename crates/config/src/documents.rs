// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Files that hold several documents.

/// The documents of a YAML file, each a text of its own. What comes before a document is left out but for its line ends, so that
/// places in it are places in the file. Documents that hold nothing are left out.
///
/// YAML knows no line that begins with `---` or `...` within a document, whatever it stands in, so lines are all there is to look at.
pub fn documents(text: &[u8]) -> Vec<Vec<u8>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut all, mut present) = (Vec::new(), Vec::new());
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if is_marker(line, b"---") && holds_something(&present) {
            all.push(std::mem::replace(&mut present, vec![b'\n'; number]));
        }
        present.extend_from_slice(line);
        if is_marker(line, b"...") && holds_something(&present) {
            all.push(std::mem::replace(&mut present, vec![b'\n'; number + 1]));
        }
    }
    if holds_something(&present) {
        all.push(present);
    }
    all
}

fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// Reports whether there is more than markers, comments and directives.
fn holds_something(document: &[u8]) -> bool {
    document.split(|byte| *byte == b'\n').any(|line| {
        let line = if is_marker(line, b"---") || is_marker(line, b"...") { &line[3..] } else { line };
        let begin = line.iter().find(|byte| !byte.is_ascii_whitespace());
        begin.is_some_and(|byte| *byte != b'#' && !line.starts_with(b"%"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        documents(text.as_bytes()).into_iter().map(|one| String::from_utf8_lossy(&one).into_owned()).collect()
    }

    #[test]
    fn documents_are_split_and_keep_their_lines() {
        assert_eq!(split("a: 1\n"), ["a: 1\n"]);
        assert_eq!(split("---\na: 1\n---\nb: 2"), ["---\na: 1\n", "\n\n---\nb: 2"]);
        assert_eq!(split("--- {a: 1}\n--- # two\n{b: 2}\n"), ["--- {a: 1}\n", "\n--- # two\n{b: 2}\n"]);
        assert_eq!(split("a: 1\n...\n%YAML 1.2\n---\nb: 2\n"), ["a: 1\n...\n", "\n\n%YAML 1.2\n---\nb: 2\n"]);
        assert_eq!(split("a: |\n  ---\n----\n"), ["a: |\n  ---\n----\n"], "no markers");
        assert_eq!(split("\u{feff}a: 1\r\n---\r\nb: 2\r\n"), ["a: 1\r\n", "\n---\r\nb: 2\r\n"]);
    }

    #[test]
    fn what_holds_nothing_is_no_document() {
        assert_eq!(split(""), Vec::<String>::new());
        assert_eq!(split("# only words\n---\n\n--- # more\n...\n"), Vec::<String>::new());
        assert_eq!(split("# licence\n---\na: 1\n---\n# the end\n"), ["# licence\n---\na: 1\n"]);
    }

    #[test]
    fn problems_have_their_place_in_the_file() {
        let text = "name: a\n---\nname: b\nnome: c\n";
        let told: Vec<_> = documents(text.as_bytes())
            .iter()
            .filter_map(|one| crate::parse_function_config(one).err())
            .filter_map(|problems| {
                problems.list.iter().find(|one| one.message.contains("nome")).and_then(|one| one.place)
            })
            .collect();
        assert_eq!(told, [crate::Place { line: 4, column: 1 }]);
    }
}
