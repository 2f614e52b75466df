// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Gathers the SDKs of the repository into one block, which becomes part of the program.

#[path = "src/pack.rs"]
mod pack;

use std::io::Result;
use std::path::{Path, PathBuf};

/// A folder of the repository, where it goes in a project, and the files of it that a project needs: by their names or ends.
struct Sdk {
    from: &'static str,
    to: &'static str,
    wanted: &'static [&'static str],
    /// Names of files and folders that are left out.
    unwanted: &'static [&'static str],
}

const SDKS: &[Sdk] = &[
    Sdk { from: "go-sdk", to: "go/go-sdk", wanted: &[".go", "go.mod"], unwanted: &["_test.go", "Makefile", "wit"] },
    Sdk {
        from: "go-sdk-advanced",
        to: "go/go-sdk-advanced",
        wanted: &[".go", "go.mod"],
        unwanted: &["_test.go", "model"],
    },
    Sdk {
        from: "sdks/rust",
        to: "rust/sdks/rust",
        wanted: &[".rs", ".wit", "Cargo.toml", "README.md", "LICENSE"],
        unwanted: &["tests", "target"],
    },
    Sdk {
        from: "crates/frame",
        to: "rust/crates/frame",
        wanted: &[".rs", "README.md", "LICENSE"],
        unwanted: &["tests", "target"],
    },
    Sdk {
        from: "sdks/python/src",
        to: "python",
        wanted: &[".py", "py.typed"],
        // The client needs packages that are not here.
        unwanted: &["fs_client", "__pycache__"],
    },
    Sdk {
        from: "sdks/javascript",
        to: "javascript",
        wanted: &[".js", ".d.ts", "package.json", "README.md", "LICENSE"],
        unwanted: &["tests", "node_modules"],
    },
];

fn main() -> Result<()> {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let root = of("CARGO_MANIFEST_DIR").join("../..");
    let mut files = Vec::new();
    for sdk in SDKS {
        gather(&root.join(sdk.from), sdk.to, sdk, &mut files)?;
    }
    // The package of the repository takes its version and its lints from the workspace.
    let frame = std::fs::read(of("CARGO_MANIFEST_DIR").join("templates/frame.toml.in"))?;
    files.push(("rust/crates/frame/Cargo.toml".to_owned(), frame));
    files.sort();
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/pack.rs");
    println!("cargo::rerun-if-changed=templates");
    std::fs::write(of("OUT_DIR").join("sdks.bin"), pack::write(&files)?)
}

fn gather(folder: &Path, within: &str, sdk: &Sdk, files: &mut Vec<pack::File>) -> Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || sdk.unwanted.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let path = format!("{within}/{name}");
        if entry.file_type()?.is_dir() {
            gather(&entry.path(), &path, sdk, files)?;
        } else if sdk.wanted.iter().any(|end| name.ends_with(end)) {
            files.push((path, std::fs::read(entry.path())?));
        }
    }
    Ok(())
}
