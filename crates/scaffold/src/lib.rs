// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! New projects: a folder with a function, its test, a scenario, a configuration, and the SDK that it needs.
//!
//! The SDKs travel inside the program, so a project is made without a network, and is tested without one as far as its language's
//! tools allow. A project is made beside its place and then moved there: whoever sees the folder sees all of it, and what failed
//! leaves nothing.
//!
//! # Reading order
//!
//! [`create`] (the one way in), `names` (what a project may be called), `templates` (what is in a project), `pack` (the block of
//! the SDKs, which `build.rs` makes).

mod names;
mod pack;
mod templates;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// The folder of a project that has the SDK.
pub const SDK_FOLDER: &str = ".function-stream";

/// A language that projects are made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Built by the ordinary Go toolchain.
    Go,
    /// Built by cargo.
    Rust,
    /// Given as source.
    Python,
    /// Given as source.
    JavaScript,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 4] = [Language::Go, Language::Rust, Language::Python, Language::JavaScript];

    /// The word for it on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Go => "go",
            Language::Rust => "rust",
            Language::Python => "python",
            Language::JavaScript => "javascript",
        }
    }
}

/// The reason why no project was made.
#[derive(Debug)]
pub enum Refused {
    /// The name fits no project, or is taken.
    Name(String),
    /// The files could not be written.
    Files(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refused::Name(why) | Refused::Files(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Refused {}

/// Makes a project of that name in a folder that is there; answers its path.
pub fn create(language: Language, name: &str, parent: &Path) -> Result<PathBuf, Refused> {
    if let Some(problem) = names::problem(name) {
        return Err(Refused::Name(format!("the name '{}' {problem}", name.escape_debug())));
    }
    let place = parent.join(name);
    let is_there = || Refused::Name(format!("'{}' is there already: choose another name", place.display()));
    if place.symlink_metadata().is_ok() {
        return Err(is_there());
    }
    let cannot = |error: io::Error| Refused::Files(format!("cannot make '{}': {error}", place.display()));
    let beside = tempfile::Builder::new().prefix(&format!(".{name}-")).tempdir_in(parent).map_err(cannot)?;
    fill(beside.path(), language, name).map_err(cannot)?;
    match renameat_with(CWD, beside.path(), CWD, &place, RenameFlags::NOREPLACE) {
        // It is where it belongs: nothing is left to remove.
        Ok(()) => drop(beside.keep()),
        // Somebody else was faster.
        Err(rustix::io::Errno::EXIST) => return Err(is_there()),
        // Not every file system and kernel knows how; the moment between the two is the user's own.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::rename(beside.path(), &place).map_err(cannot)?;
            drop(beside.keep());
        }
        Err(error) => return Err(cannot(error.into())),
    }
    Ok(place)
}

fn fill(folder: &Path, language: Language, name: &str) -> io::Result<()> {
    let usual = fs::Permissions::from_mode(0o777 & !umask());
    fs::set_permissions(folder, usual)?;
    for (path, content) in templates::files(language, name) {
        put(&folder.join(path), content.as_bytes())?;
    }
    for (path, content) in sdk(language)? {
        put(&folder.join(SDK_FOLDER).join(path), &content)?;
    }
    if language == Language::JavaScript {
        // What 'npm install' makes of the dependency in package.json.
        fs::create_dir(folder.join("node_modules"))?;
        symlink(format!("../{SDK_FOLDER}/javascript"), folder.join("node_modules/functionstream"))?;
    }
    Ok(())
}

fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

/// The files of a language's SDK.
fn sdk(language: Language) -> io::Result<Vec<pack::File>> {
    let all = pack::read(include_bytes!(concat!(env!("OUT_DIR"), "/sdks.bin")))?;
    let within = format!("{}/", language.as_str());
    Ok(all.into_iter().filter(|(path, _)| path.starts_with(&within)).collect())
}

/// What files of this process are made without. It can only be read by setting it.
fn umask() -> u32 {
    use rustix::fs::Mode;
    let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read() {
        let files = vec![("a/b".to_owned(), b"x".to_vec()), ("c".to_owned(), Vec::new())];
        let block = pack::write(&files).unwrap();
        assert_eq!(pack::read(&block).unwrap(), files);
        assert!(pack::read(&block[..block.len() - 3]).is_err());
    }

    #[test]
    fn a_project_of_each_language_has_its_sdk_alone() {
        for (language, file) in [
            (Language::Go, "go/go-sdk/fssdk.go"),
            (Language::Rust, "rust/sdks/rust/src/lib.rs"),
            (Language::Python, "python/functionstream/__init__.py"),
            (Language::JavaScript, "javascript/src/index.js"),
        ] {
            let parent = tempfile::tempdir().unwrap();
            let project = create(language, "words", parent.path()).unwrap();
            assert!(project.join(SDK_FOLDER).join(file).is_file(), "{language:?}");
            assert_eq!(fs::read_dir(project.join(SDK_FOLDER)).unwrap().count(), 1, "{language:?}");
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left beside it");
            for file in ["README.md", "config.yaml", ".gitignore", "scenarios/counting.yaml"] {
                let text = fs::read_to_string(project.join(file)).unwrap();
                assert!(!text.contains('@'), "{file}: {text}");
            }
            let readme = fs::read_to_string(project.join("README.md")).unwrap();
            assert!(readme.lines().count() <= 15, "{readme}");
        }
    }

    #[test]
    fn no_sdk_brings_its_own_tests_or_what_was_built() {
        let all = pack::read(include_bytes!(concat!(env!("OUT_DIR"), "/sdks.bin"))).unwrap();
        assert!(all.len() > 80, "only {} files", all.len());
        for (path, _) in &all {
            for bad in ["_test.go", "/tests/", "/target/", "/node_modules/", "__pycache__", ".test.js"] {
                assert!(!path.contains(bad), "{path}");
            }
        }
    }

    #[test]
    fn the_frame_of_a_project_has_the_version_that_the_sdk_asks_for() {
        let all = pack::read(include_bytes!(concat!(env!("OUT_DIR"), "/sdks.bin"))).unwrap();
        let text = |path: &str| {
            let (_, content) = all.iter().find(|(of, _)| of == path).unwrap();
            String::from_utf8(content.clone()).unwrap()
        };
        assert!(text("rust/crates/frame/Cargo.toml").contains("version = \"0.1.0\""));
        let wanted = r#"fnstream-frame = { version = "0.1.0", path = "../../crates/frame" }"#;
        assert!(text("rust/sdks/rust/Cargo.toml").contains(wanted));
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("words")).unwrap();
        symlink("nowhere", parent.path().join("dangling")).unwrap();
        for name in ["words", "dangling", "../words", "fn"] {
            assert!(matches!(create(Language::Go, name, parent.path()), Err(Refused::Name(_))), "{name}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(parent.path().join("words")).unwrap().count(), 0);
        let nowhere = create(Language::Go, "words", &parent.path().join("none"));
        assert!(matches!(nowhere, Err(Refused::Files(_))));
    }
}
