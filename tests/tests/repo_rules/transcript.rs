// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The README's transcript is what users already know, to the letter, and it is what `make quickstart` runs.

use super::output_of;

/// Commands and outputs that existing scripts rely on. They change with a new major version, if ever.
const KNOWN: &[(&str, &str)] = &[
    ("server", "bin/function-stream standalone"),
    ("pulsar server", "bin/function-stream server"),
    (
        "run",
        r#"bin/function-stream client create -n example -a "bin/example_basic.wasm" -i example-input -o example-output -r 1"#,
    ),
    ("background", "bin/function-stream client consume -n example-output"),
    ("run", r#"bin/function-stream client produce -n example-input -c '{"name":"rbt","money":2}'"#),
    ("prints", "Event produced"),
    ("background prints", r#""{\"name\":\"rbt\",\"money\":3,\"expected\":0}""#),
    ("run", "bin/function-stream client delete -n example"),
];

/// `--list` prints the steps that the script would run, and it has them from README.md alone.
#[test]
fn quickstart_runs_the_transcript_that_users_know() {
    let listed = output_of("bash", &["scripts/quickstart.sh", "--list"]);
    let steps: Vec<_> = listed.lines().map(|line| line.split_once('\t').unwrap()).collect();
    assert_eq!(steps, KNOWN);
}

#[test]
fn the_readme_keeps_its_owners_wishes() {
    let readme = std::fs::read_to_string(super::root().join("README.md")).unwrap();
    let languages = readme.lines().find(|line| line.starts_with("1. **")).unwrap();
    assert!(!languages.contains("Multiple"), "{languages}");
    for section in [
        "## Features",
        "## Architecture and Components",
        "## Directory Structure",
        "## Building Instructions",
        "## Running Instructions",
        "### Option 1: Standalone Mode",
        "### Option 2: Server Mode",
        "### Creating a Function",
        "### Consuming a Message from the Function Output",
        "### Producing a Message to the Function Input",
        "### Checking the Output",
        "### Deleting the Function",
        "## Contributing",
        "## License",
    ] {
        assert!(readme.lines().any(|line| line == section), "README.md lacks '{section}'");
    }
}
