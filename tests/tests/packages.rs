// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Packages are made of the program and installed into clean places, where it runs; and what is shipped beside it names only what
//! exists.

#![allow(clippy::print_stderr, reason = "a test that is passed over says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fnstream_tests::binary::{self, root};
use fnstream_tests::cli::printed;
use serde_json::Value;
use tempfile::TempDir;

/// Whether the tools are here. Only in continuous integration they must be.
fn has(tools: &[&str]) -> Result<bool> {
    let is_missing = |tool: &&&str| Command::new(tool).arg("--version").output().is_err();
    let Some(missing) = tools.iter().find(is_missing) else { return Ok(true) };
    ensure!(std::env::var_os("CI").is_none(), "there is no {missing}");
    eprintln!("PASSED OVER, since there is no {missing} here");
    Ok(false)
}

fn run(program: impl AsRef<Path>, args: &[&str], folder: &Path) -> Result<String> {
    let program = program.as_ref();
    // What a user's own settings say does not matter here.
    let ran =
        Command::new(program).args(args).current_dir(folder).env("npm_config_cache", folder.join("cache")).output();
    let ran = ran.with_context(|| format!("cannot run '{}'", program.display()))?;
    ensure!(ran.status.success(), "{} {args:?}: {}", program.display(), String::from_utf8_lossy(&ran.stderr));
    Ok(String::from_utf8(ran.stdout)?)
}

/// A program without what only debuggers read, which would take a minute to pack.
fn stripped(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("program");
    std::fs::copy(binary::server()?, &path)?;
    run("strip", &["program"], folder)?;
    Ok(path)
}

/// Makes packages of some kinds; answers their folder.
fn packages(folder: &TempDir, kinds: &[&str]) -> Result<PathBuf> {
    let (program, out) = (stripped(folder.path())?, folder.path().join("out"));
    let script = root().canonicalize()?.join("scripts/package.py");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (script, program, to) = (text(&script), text(&program), text(&out));
    run("python3", &[&[&script, "--level", "1", &program, &to], kinds].concat(), folder.path())?;
    Ok(out)
}

fn only(folder: &Path, end: &str) -> Result<PathBuf> {
    let names = std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    let mut found = names.into_iter().filter(|path| path.to_string_lossy().ends_with(end));
    let one = found.next().with_context(|| format!("no {end}"))?;
    ensure!(found.next().is_none(), "two {end}");
    Ok(one)
}

fn says_its_version(program: &Path) -> Result<()> {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let version = manifest["workspace"]["package"]["version"].as_str().context("no version")?;
    let said = printed(Command::new(program).arg("--version").output().context(program.display().to_string())?)?;
    ensure!(said == format!("function-stream {version}\n"), "{said}");
    Ok(())
}

#[test]
fn the_archive_has_the_program_and_its_sums_fit() -> Result<()> {
    if !has(&["python3", "strip", "tar", "sha256sum"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let out = packages(&folder, &["sbom", "tar", "sums"])?;
    let checked = run("sha256sum", &["--check", "--strict", "SHA256SUMS"], &out)?;
    ensure!(checked.lines().count() == 2, "{checked}");
    let archive = only(&out, ".tar.gz")?;
    run("tar", &["-xzf", &archive.to_string_lossy()], folder.path())?;
    let unpacked = only(folder.path(), "-linux")?;
    says_its_version(&unpacked.join("function-stream"))?;
    for name in ["LICENSE", "README.md", "function-stream.service", "config.yaml", "alerts.yml", "Containerfile"] {
        ensure!(unpacked.join(name).is_file(), "no {name}");
    }
    bill_of_materials(&only(&unpacked, ".cdx.json")?)
}

/// What the schema of CycloneDX 1.5 requires, and that nothing is left out.
fn bill_of_materials(path: &Path) -> Result<()> {
    let bill: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    ensure!(bill["bomFormat"] == "CycloneDX" && bill["specVersion"] == "1.5" && bill["version"] == 1, "{bill:.200}");
    let serial = bill["serialNumber"].as_str().and_then(|text| text.strip_prefix("urn:uuid:")).context("no number")?;
    ensure!(serial.len() == 36 && serial.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{serial}");
    let components = bill["components"].as_array().context("no components")?;
    let mut references = BTreeSet::from([bill["metadata"]["component"]["bom-ref"].as_str().context("no program")?]);
    let mut names = BTreeSet::new();
    for component in components {
        ensure!(component["type"] == "library" && component["version"].is_string(), "{component}");
        ensure!(component["licenses"][0]["expression"].is_string(), "no licence: {component}");
        names.insert(component["name"].as_str().context("no name")?);
        ensure!(references.insert(component["bom-ref"].as_str().context("no reference")?), "twice: {component}");
    }
    for part in ["rocksdb", "wasmtime", "tokio", "fnstream-store"] {
        ensure!(names.contains(part), "no {part}");
    }
    for tool in ["proptest", "tempfile-tests", "fnstream-tests"] {
        ensure!(!names.contains(tool), "{tool} is no part of the program");
    }
    for one in bill["dependencies"].as_array().context("no dependencies")? {
        let uses = one["dependsOn"].as_array().context("no list")?.iter().chain([&one["ref"]]);
        for used in uses {
            ensure!(references.contains(used.as_str().context("no text")?), "{used} is not listed");
        }
    }
    Ok(())
}

#[test]
fn the_debian_package_has_what_a_service_needs() -> Result<()> {
    if !has(&["python3", "strip", "dpkg-deb"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let out = packages(&folder, &["deb"])?;
    let package = only(&out, ".deb")?;
    run("dpkg-deb", &["-R", &package.to_string_lossy(), "unpacked"], folder.path())?;
    let unpacked = folder.path().join("unpacked");
    let program = unpacked.join("usr/bin/function-stream");
    says_its_version(&program)?;
    for script in ["postinst", "prerm", "postrm"] {
        run("sh", &["-n", &unpacked.join("DEBIAN").join(script).to_string_lossy()], folder.path())?;
    }
    let conffile = std::fs::read_to_string(unpacked.join("DEBIAN/conffiles"))?;
    let config = unpacked.join(conffile.trim().trim_start_matches('/'));
    run(&program, &["validate", &config.to_string_lossy()], folder.path())?;
    // The unit starts the program that is shipped with the file that is shipped, by flags that it knows.
    let unit = std::fs::read_to_string(unpacked.join("usr/lib/systemd/system/function-stream.service"))?;
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("nothing is started")?;
    let words: Vec<_> = start.split(' ').collect();
    ensure!(words[..3] == ["/usr/bin/function-stream", "standalone", "--config"], "{start}");
    ensure!(words[3] == conffile.trim(), "{start}");
    let shown = run(&program, &["config", "--config", &config.to_string_lossy()], folder.path())?;
    ensure!(shown.contains("/var/lib/function-stream"), "{shown}");
    ensure!(unit.contains("\nStateDirectory=function-stream\n"), "the unit makes no data folder");
    Ok(())
}

#[test]
fn the_wheel_puts_the_program_on_the_path() -> Result<()> {
    if !has(&["python3", "strip"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let wheel = only(&packages(&folder, &["wheel"])?, ".whl")?;
    run("python3", &["-m", "venv", "clean"], folder.path())?;
    let bin = folder.path().join("clean/bin");
    run(
        bin.join("python"),
        &["-m", "pip", "install", "--no-index", "--quiet", &wheel.to_string_lossy()],
        folder.path(),
    )?;
    says_its_version(&bin.join("function-stream"))?;
    let files = run(bin.join("python"), &["-m", "pip", "show", "--files", "function-stream"], folder.path())?;
    ensure!(files.contains("License: Apache-2.0") && files.contains("bin/function-stream"), "{files}");
    Ok(())
}

#[test]
fn the_npm_package_puts_the_program_beside_those_of_others() -> Result<()> {
    if !has(&["python3", "strip", "npm"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let package = only(&packages(&folder, &["npm"])?, ".tgz")?;
    let clean = folder.path().join("clean");
    std::fs::create_dir(&clean)?;
    run("npm", &["install", "--offline", "--silent", &package.to_string_lossy()], &clean)?;
    says_its_version(&clean.join("node_modules/.bin/function-stream"))
}

/// The names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("fnstream_")).map(str::to_owned).collect()
}

#[test]
fn alerts_are_about_metrics_that_exist() -> Result<()> {
    // The table there is compared with what a server says by a test of its own.
    let page = std::fs::read_to_string(root().join("docs/metrics.md"))?;
    let mut known = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `fnstream_")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        known.insert(cells[1].trim_matches('`').to_owned(), cells[2].to_owned());
    }
    let samples: BTreeSet<_> = known
        .iter()
        .flat_map(|(name, kind)| match kind.as_str() {
            "counter" => vec![format!("{name}_total")],
            "histogram" => ["bucket", "sum", "count"].map(|end| format!("{name}_{end}")).into(),
            _ => vec![name.clone()],
        })
        .collect();
    let rules: Value = yaml_serde::from_str(&std::fs::read_to_string(root().join("dist/alerts.yml"))?)?;
    let mut about = BTreeSet::new();
    for rule in rules["groups"][0]["rules"].as_array().context("no rules")? {
        let alert = rule["alert"].as_str().context("no name")?;
        let named = metrics(rule["expr"].as_str().context("no expression")?);
        ensure!(!named.is_empty() || alert == "FunctionStreamDown", "{alert} is about nothing");
        for name in named {
            ensure!(samples.contains(&name), "{alert}: a server has no '{name}'");
            about.insert(name);
        }
        ensure!(rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string(), "{alert}");
    }
    ensure!(about.len() > 10, "{about:?}");
    Ok(())
}
