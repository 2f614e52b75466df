// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use super::*;

fn problem(bytes: &[u8]) -> String {
    let problems = parse(bytes).unwrap_err();
    problems.iter().map(|problem| problem.line("")).collect::<Vec<_>>().join("\n")
}

fn tree(bytes: &[u8]) -> Node {
    parse(bytes).unwrap().unwrap()
}

fn leaves(node: &Node) -> Vec<(Place, String)> {
    match &node.content {
        Content::Scalar(scalar) => vec![(node.place, scalar.text.clone())],
        Content::List(nodes) => nodes.iter().flat_map(leaves).collect(),
        Content::Block(entries) => entries.iter().flat_map(|(_, node)| leaves(node)).collect(),
    }
}

#[test]
fn every_value_has_its_place() {
    let tree = tree("a: 1\nb:\n  - äö: x\n    c: \"two words\"\n  - [p, q]\n".as_bytes());
    let told: Vec<_> = leaves(&tree).into_iter().map(|(place, text)| format!("{place} {text}")).collect();
    assert_eq!(told, ["1:4 1", "3:9 x", "4:8 two words", "5:6 p", "5:9 q"]);
    assert!(matches!(&tree.content, Content::Block(entries) if entries[1].0.place == Place { line: 2, column: 1 }));
}

#[test]
fn a_text_of_nothing_is_no_tree() {
    for text in ["", "\n\n", "# only this", "---", "~", "null"] {
        assert_eq!(parse(text.as_bytes()), Ok(None), "{text}");
    }
}

#[test]
fn json_is_read_as_it_is() {
    let tree = tree(br#"{"a": [1, true, null, "x\ny"]}"#);
    assert_eq!(leaves(&tree).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), ["1", "true", "null", "x\ny"]);
}

#[test]
fn a_mark_of_utf8_is_passed_over_and_other_codings_are_refused() {
    assert_eq!(leaves(&tree(b"\xef\xbb\xbfa: b"))[0].0, Place { line: 1, column: 4 });
    assert_eq!(problem(b"\xff\xfea\0"), "1:1: the text is UTF-16, not UTF-8");
    assert_eq!(problem(b"\xfe\xff\0a"), "1:1: the text is UTF-16, not UTF-8");
    assert_eq!(problem(b"a: b\n\xc3\xa4: \xffx"), "2:4: the byte 0xff is not UTF-8");
}

#[test]
fn an_alias_stands_for_its_anchor() {
    let tree = tree(b"a: &x [1, 2]\nb: *x\n");
    assert_eq!(leaves(&tree).len(), 4);
    let Content::Block(entries) = &tree.content else { panic!("{tree:?}") };
    assert_eq!((entries[0].1.place, entries[1].1.place), (Place { line: 1, column: 7 }, Place { line: 2, column: 4 }));
}

#[test]
fn aliases_that_multiply_are_refused_before_they_fill_memory() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..=12 {
        let before = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", "));
    }
    assert!(
        problem(bomb.as_bytes()).ends_with("the text makes more than 100000 values"),
        "{}",
        problem(bomb.as_bytes())
    );
    let many = format!("[{}]", vec!["x"; MOST_NODES + 1].join(","));
    assert!(problem(many.as_bytes()).ends_with("the text makes more than 100000 values"));
}

#[test]
fn what_lies_too_deep_is_refused() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(parse(deep(MOST_DEPTH).as_bytes()).is_ok());
    let refused = "lists and blocks lie more than 64 deep in each other";
    assert_eq!(problem(deep(MOST_DEPTH + 1).as_bytes()), format!("1:65: {refused}"));
    assert!(problem("[".repeat(100_000).as_bytes()).ends_with(refused));
    assert!(problem("- ".repeat(100_000).as_bytes()).ends_with(refused));
    // Not only by brackets.
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        chain += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(problem(chain.as_bytes()).ends_with(refused));
}

#[test]
fn a_text_that_is_too_long_is_not_looked_at() {
    assert_eq!(problem(&vec![b'x'; MOST_BYTES + 1]), "1:1: the text has 1048577 bytes, more than 1048576");
    assert!(parse(&vec![b'x'; MOST_BYTES]).is_ok());
}

#[test]
fn plain_values_are_what_the_core_schema_says() {
    let shape = |text: &str| Scalar { text: text.to_owned(), plain: true }.shape();
    for text in ["", "~", "null", "Null", "NULL"] {
        assert_eq!(shape(text), Shape::Null, "{text}");
    }
    assert_eq!((shape("true"), shape("False")), (Shape::Bool(true), Shape::Bool(false)));
    for text in ["0", "-1", "+1", "007", "99999999999999999999999"] {
        assert_eq!(shape(text), Shape::Whole, "{text}");
    }
    for text in ["1.5", "-.5", "1.", "1e3", "1.5E-3", "0x1F", "0o17", ".inf", "-.INF", ".nan"] {
        assert_eq!(shape(text), Shape::Number, "{text}");
    }
    for text in ["yes", "off", "1s", "0x", "0xg", "e3", ".", "-", "1_000", "2024-01-31", "1:30", "--1", "1e", "Nan"] {
        assert_eq!(shape(text), Shape::Text, "{text}");
    }
    assert_eq!(Scalar { text: "1".to_owned(), plain: false }.shape(), Shape::Text);
    assert_eq!(leaves(&tree(b"a: !!str 1")).len(), 1);
}
