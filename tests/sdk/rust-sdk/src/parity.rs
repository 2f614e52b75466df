// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The table of what each SDK can do, made of the scenarios and the list of programs. The page must have it as it is made now;
//! `UPDATE_PARITY=1 cargo test parity` writes it anew.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
struct Programs {
    programs: Vec<Program>,
}

/// A program in one world: a column.
#[derive(Deserialize)]
struct Program {
    name: String,
    world: String,
    /// The folder of the SDK that it is written with.
    sdk: Option<String>,
    /// What it has not of that which scenarios need, with the reason.
    #[serde(default)]
    lacks: BTreeMap<String, String>,
}

/// A scenario: a row.
#[derive(Deserialize)]
struct Scenario {
    name: String,
    #[serde(default)]
    worlds: Vec<String>,
    #[serde(default)]
    needs: Vec<String>,
}

const BEGIN: &str = "<!-- made of tests/sdk -->\n";
const END: &str = "<!-- end -->\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn programs() -> Vec<Program> {
    let text = std::fs::read_to_string(root().join("tests/sdk/programs.json")).unwrap();
    yaml_serde::from_str::<Programs>(&text).unwrap().programs
}

fn scenarios() -> Vec<Scenario> {
    let folder = std::fs::read_dir(root().join("tests/sdk/scenarios")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| yaml_serde::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()).collect()
}

/// The table, with the reasons of what is missing below it.
fn table(programs: &[Program], scenarios: &[Scenario]) -> String {
    let mut reasons = Vec::new();
    let mut table = "| scenario |".to_owned();
    programs.iter().for_each(|program| table += &format!(" {}, {} |", program.name, program.world));
    table += &format!("\n| --- |{}\n", " --- |".repeat(programs.len()));
    for scenario in scenarios {
        table += &format!("| {} |", scenario.name);
        for program in programs {
            let lacked = scenario.needs.iter().find_map(|need| program.lacks.get(need));
            table += &match lacked {
                _ if !scenario.worlds.is_empty() && !scenario.worlds.contains(&program.world) => " – |".to_owned(),
                None => " yes |".to_owned(),
                Some(reason) => {
                    let known = reasons.iter().position(|known| known == reason);
                    let note = known.unwrap_or_else(|| {
                        reasons.push(reason.clone());
                        reasons.len() - 1
                    });
                    format!(" no ({}) |", note + 1)
                }
            };
        }
        table += "\n";
    }
    for (note, reason) in reasons.iter().enumerate() {
        table += &format!("\n({}) {reason}.\n", note + 1);
    }
    table
}

/// What must not be: an SDK without a column, or one that lacks something.
fn missing(programs: &[Program], scenarios: &[Scenario], sdks: &BTreeSet<String>) -> Vec<String> {
    let columns: BTreeSet<_> =
        programs.iter().filter(|program| program.world == "packed").filter_map(|program| program.sdk.clone()).collect();
    let mut missing: Vec<_> = sdks.difference(&columns).map(|sdk| format!("{sdk} has no program")).collect();
    for program in programs.iter().filter(|program| program.sdk.is_some()) {
        missing.extend(program.lacks.keys().map(|need| format!("{} ({}) lacks {need}", program.name, program.world)));
    }
    for scenario in scenarios {
        let is_kept =
            programs.iter().any(|program| scenario.worlds.is_empty() || scenario.worlds.contains(&program.world));
        if !is_kept {
            missing.push(format!("no program is of the worlds of '{}'", scenario.name));
        }
    }
    missing
}

/// The folders of all SDKs of the repository.
fn sdks() -> BTreeSet<String> {
    let folders = std::fs::read_dir(root().join("sdks")).unwrap().map(|entry| entry.unwrap().path());
    let names = folders.filter(|path| path.is_dir()).map(|path| path.file_name().unwrap().to_owned());
    let others = names.map(|name| format!("sdks/{}", name.to_str().unwrap()));
    others.chain(["go-sdk".to_owned()]).collect()
}

#[test]
fn parity_is_what_the_scenarios_say_and_nothing_is_missing() {
    let (programs, scenarios) = (programs(), scenarios());
    assert_eq!(missing(&programs, &scenarios, &sdks()), Vec::<String>::new());
    let path = root().join("docs/parity.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}\n{}\n{END}{after}", table(&programs, &scenarios));
    if std::env::var_os("UPDATE_PARITY").is_some() {
        std::fs::write(&path, &made).unwrap();
    } else {
        assert!(page == made, "docs/parity.md is not what tests/sdk says: UPDATE_PARITY=1 cargo test parity");
    }
}

#[test]
fn parity_that_is_missing_is_found() {
    let program = |name: &str, sdk: Option<&str>, lacks: &[&str]| Program {
        name: name.into(),
        world: "packed".into(),
        sdk: sdk.map(str::to_owned),
        lacks: lacks.iter().map(|need| ((*need).to_owned(), "a reason".to_owned())).collect(),
    };
    let scenario = |name: &str, worlds: &[&str], needs: &[&str]| Scenario {
        name: name.into(),
        worlds: worlds.iter().map(|world| (*world).to_owned()).collect(),
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
    };
    let programs = [program("A", Some("sdks/a"), &["states"]), program("none", None, &["states"])];
    let scenarios = [scenario("one", &[], &["states"]), scenario("two", &["other"], &[])];
    let sdks = ["sdks/a", "sdks/b"].map(str::to_owned).into();
    let wanted = ["sdks/b has no program", "A (packed) lacks states", "no program is of the worlds of 'two'"];
    assert_eq!(missing(&programs, &scenarios, &sdks), wanted);
    let rows = "| one | no (1) | no (1) |\n| two | – | – |\n\n(1) a reason.\n";
    assert!(table(&programs, &scenarios).ends_with(rows));
}
