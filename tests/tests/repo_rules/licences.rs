// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The licence of every dependency is on the list of `deny.toml`, and every source file has our own.

use spdx::{Expression, Licensee, ParseMode};

use super::{assert_none, cargo_metadata, output_of, root};

#[test]
fn licences_of_all_dependencies_are_allowed() {
    let allowed = allowed_licences();
    let metadata = cargo_metadata();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "only {} packages: is this the whole graph?", packages.len());
    let problems: Vec<_> = packages
        .iter()
        .filter_map(|package| {
            let problem = problem_of(package["license"].as_str(), &allowed)?;
            Some(format!("{} {}: {problem}", package["name"].as_str()?, package["version"].as_str()?))
        })
        .collect();
    assert_none("licences that deny.toml does not allow", &problems);
}

#[test]
fn licences_that_are_not_on_the_list_are_refused() {
    let allowed = allowed_licences();
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert_eq!(problem_of(Some(good), &allowed), None, "{good}");
    }
    for bad in ["GPL-3.0-only", "MIT AND GPL-2.0-or-later", "BUSL-1.1", "MIT WITH LLVM-exception"] {
        assert_eq!(problem_of(Some(bad), &allowed), Some(bad.to_owned()));
    }
    assert_eq!(problem_of(None, &allowed).unwrap(), "names no licence");
    assert!(problem_of(Some("my own"), &allowed).unwrap().starts_with("my own is not an SPDX expression"));
}

#[test]
fn licences_are_named_by_a_header_in_every_source_file() {
    output_of("bash", &["scripts/licence-check.sh"]);
}

/// The list of `deny.toml`, which cargo-deny reads too.
fn allowed_licences() -> Vec<Licensee> {
    let deny: toml::Table = std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let allow = deny["licenses"]["allow"].as_array().unwrap();
    allow.iter().map(|licence| Licensee::parse(licence.as_str().unwrap()).unwrap()).collect()
}

/// What is wrong with a package's licence expression, if anything.
fn problem_of(licence: Option<&str>, allowed: &[Licensee]) -> Option<String> {
    let Some(licence) = licence else { return Some("names no licence".to_owned()) };
    let expression = match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(e) => return Some(format!("{licence} is not an SPDX expression: {}", e.reason)),
    };
    let fits = expression.evaluate(|wanted| allowed.iter().any(|licensee| licensee.satisfies(wanted)));
    (!fits).then(|| licence.to_owned())
}
