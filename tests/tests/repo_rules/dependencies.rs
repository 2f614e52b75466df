// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Dependencies point one way, and heavy libraries stay behind the crate that owns them.
//!
//! ```text
//! frame <- core <- { store, kafka, runtime, engine } <- server <- cli     { api, config, sql } <- { server, cli }     { build, scaffold } <- cli
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{assert_none, cargo_metadata, root};

/// For each crate of ours the crates of ours that its own code may name. A new crate must be put in here.
const MAY_USE: &[(&str, &[&str])] = &[
    ("frame", &[]),
    ("core", &["frame"]),
    ("store", &["frame", "core"]),
    ("group", &["core"]),
    ("kafka", &["frame", "core", "group"]),
    ("pulsar", &["frame", "core", "group", "pulsar-client"]),
    // Knows nothing of functions: it could be published by itself.
    ("pulsar-client", &[]),
    ("runtime", &["frame", "core"]),
    ("engine", &["frame", "core"]),
    ("api", &["frame", "core"]),
    ("build", &["core"]),
    ("scaffold", &[]),
    ("sql", &["core"]),
    ("config", &["core"]),
    ("server", &["frame", "core", "store", "group", "kafka", "pulsar", "runtime", "engine", "api", "config", "sql"]),
    // The command line hosts the benchmarks, which look beneath the server.
    (
        "cli",
        &[
            "frame",
            "core",
            "store",
            "pulsar-client",
            "runtime",
            "engine",
            "api",
            "build",
            "config",
            "scaffold",
            "sql",
            "server",
        ],
    ),
    ("tests", &["frame", "core", "store", "runtime", "engine", "api", "build", "server"]),
];

/// What a crate must not reach, however indirectly.
const MUST_NOT_REACH: &[(&str, &[&str])] = &[
    ("core", &["rocksdb", "wasmtime", "tokio", "axum", "reqwest"]),
    ("store", &["wasmtime", "wasmparser", "axum", "tokio"]),
    ("group", &["rocksdb", "wasmtime", "axum", "tokio"]),
    ("kafka", &["rocksdb", "wasmtime", "axum", "tokio"]),
    ("pulsar", &["rocksdb", "wasmtime", "axum"]),
    ("pulsar-client", &["rocksdb", "wasmtime", "axum", "reqwest", "openssl-sys"]),
    ("runtime", &["rocksdb", "axum", "reqwest"]),
    ("engine", &["rocksdb", "wasmtime", "axum", "reqwest", "tokio"]),
    ("api", &["rocksdb", "wasmtime"]),
    ("build", &["rocksdb", "wasmtime", "axum", "tokio", "reqwest"]),
    ("scaffold", &["rocksdb", "wasmtime", "axum", "tokio", "reqwest"]),
    ("sql", &["rocksdb", "wasmtime", "axum", "tokio", "reqwest"]),
    ("config", &["rocksdb", "wasmtime", "axum", "tokio", "reqwest"]),
];

/// Has no code: it only makes every crate ask for the same features of the dependencies. So it is not a dependency here.
const UNIFY: &str = "fnstream-unify";

/// Name of a package -> the packages that its code (not its tests, not its build) depends on.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn dependencies_point_one_way() {
    assert_none("dependencies that design and layering forbid", &violations(&graph(&cargo_metadata())));
}

#[test]
fn a_forbidden_dependency_is_found() {
    let mut graph = graph(&cargo_metadata());
    graph.get_mut("fnstream-engine").unwrap().insert("fnstream-store".to_owned());
    let found = violations(&graph);
    assert!(found.contains(&"engine uses store".to_owned()), "{found:?}");
    assert!(found.contains(&"engine reaches rocksdb by fnstream-store".to_owned()), "{found:?}");
}

#[test]
fn the_crate_that_unifies_features_has_no_code() {
    let source = std::fs::read_to_string(root().join("crates/unify/src/lib.rs")).unwrap();
    let code: Vec<_> = source.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).collect();
    assert!(code.is_empty(), "{code:?}");
}

#[test]
fn an_unknown_crate_is_found() {
    let graph = Graph::from([("fnstream-new".to_owned(), BTreeSet::new())]);
    assert_eq!(violations(&graph), ["new has no rule in MAY_USE"]);
}

fn graph(metadata: &Value) -> Graph {
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (package["id"].as_str().unwrap(), package["name"].as_str().unwrap()))
        .collect();
    let mut graph = Graph::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let uses = node["deps"].as_array().unwrap().iter().filter(|dep| is_normal(dep));
        let uses = uses.map(|dep| names[dep["pkg"].as_str().unwrap()].to_owned());
        let uses = uses.filter(|used| used != UNIFY);
        // Two versions of one package are one package here.
        graph.entry(names[node["id"].as_str().unwrap()].to_owned()).or_default().extend(uses);
    }
    graph.remove(UNIFY);
    graph
}

/// Cargo gives a normal dependency no kind.
fn is_normal(dependency: &Value) -> bool {
    dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
}

fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for (package, uses) in graph {
        let Some(name) = package.strip_prefix("fnstream-") else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(of, _)| *of == name) else {
            found.push(format!("{name} has no rule in MAY_USE"));
            continue;
        };
        let ours = uses.iter().filter_map(|used| used.strip_prefix("fnstream-"));
        found.extend(ours.filter(|used| !allowed.contains(used)).map(|used| format!("{name} uses {used}")));
        for direct in uses {
            let reached = reachable(graph, direct);
            let forbidden = MUST_NOT_REACH.iter().filter(|(of, _)| *of == name).flat_map(|(_, banned)| *banned);
            let forbidden = forbidden.filter(|banned| reached.contains(**banned));
            found.extend(forbidden.map(|banned| format!("{name} reaches {banned} by {direct}")));
        }
    }
    found
}

/// Everything that `from` depends on, itself included.
fn reachable<'a>(graph: &'a Graph, from: &'a str) -> BTreeSet<&'a str> {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
    while let Some(package) = todo.pop() {
        if seen.insert(package) {
            todo.extend(graph.get(package).into_iter().flatten().map(String::as_str));
        }
    }
    seen
}
