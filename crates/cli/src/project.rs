// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A folder in which somebody writes a function: its language, and its artifact.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fnstream_build::{Compiled, Kind, Options, build, default_out, place};
use fnstream_config::{FunctionConfig, parse_function_config};
use fnstream_core::function_log::{FunctionLog, LogLine};
use fnstream_core::runtime::{InstanceSpec, Runtime};
use fnstream_core::spec::check_name;
use fnstream_core::{Error, ErrorCode};
use fnstream_runtime::{Language, Source, bundle};

use crate::failure::{Failure, Result};
use crate::{artifact, files, local, output};

/// The file that describes the function.
pub(crate) const CONFIG: &str = "config.yaml";

/// See the module.
pub(crate) struct Project {
    /// The folder, without links in its path.
    pub(crate) dir: PathBuf,
    pub(crate) code: Code,
}

/// What the folder has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Code {
    /// A program that a toolchain compiles.
    Compiled(Compiled),
    /// Source in that folder, which is the artifact.
    Source(Language, PathBuf),
}

/// How an artifact is made, where there is a choice.
#[derive(Debug, Clone, Default)]
pub(crate) struct How {
    pub(crate) out: Option<PathBuf>,
    pub(crate) tinygo: bool,
    pub(crate) per_record: bool,
    pub(crate) component: bool,
}

/// An artifact that was made.
pub(crate) struct Made {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// Its form in words.
    pub(crate) form: String,
    pub(crate) imports: Vec<String>,
}

impl Project {
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let shown = dir.display();
        let dir = dir
            .canonicalize()
            .map_err(|e| Error::new(ErrorCode::BuildFolder, format!("the folder '{shown}' cannot be read: {e}")))?;
        // A program of a module above may have scripts beside it.
        let compiled = ["go.mod", "Cargo.toml"].iter().any(|file| dir.join(file).is_file()) || has_go(&dir);
        let source = (!compiled).then(|| source(&dir)).flatten();
        let code = match (source, Compiled::of(&dir)) {
            (Some((language, root)), _) => Code::Source(language, root),
            (None, Some(language)) => Code::Compiled(language),
            (None, None) => {
                let message = format!(
                    "'{shown}' has neither a go.mod, also in a folder above, nor a Cargo.toml, nor a file .py, .js or .mjs at its top or in src"
                );
                return Err(Error::new(ErrorCode::BuildFolder, message).into());
            }
        };
        Ok(Project { dir, code })
    }

    /// The word for its language.
    pub(crate) fn language(&self) -> &'static str {
        match &self.code {
            Code::Compiled(Compiled::Go) => "Go",
            Code::Compiled(Compiled::Rust) => "Rust",
            Code::Source(language, _) => language.name(),
        }
    }

    /// The name of a function without a description: that of the folder, if it can be one.
    pub(crate) fn name(&self) -> String {
        let name = self.dir.file_name().map(|name| name.to_string_lossy().into_owned());
        name.filter(|name| check_name("function", name).is_ok()).unwrap_or_else(|| "function".to_owned())
    }

    /// Makes the artifact.
    pub(crate) fn build(&self, how: &How) -> Result<Made> {
        match &self.code {
            Code::Compiled(language) => self.compile(*language, how),
            Code::Source(language, root) => self.pack(*language, root, how),
        }
    }

    fn compile(&self, language: Compiled, how: &How) -> Result<Made> {
        let variable = match language {
            Compiled::Go if how.tinygo => "TINYGO",
            Compiled::Go => "GO",
            Compiled::Rust => "CARGO",
        };
        how.is_for(match language {
            Compiled::Go => GO,
            Compiled::Rust => "Rust",
        })?;
        let built = build(&Options {
            dir: self.dir.clone(),
            out: how.out.clone(),
            tinygo: how.tinygo,
            per_record: how.per_record,
            toolchain: std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from),
        })?;
        let kinds: Vec<_> = built.artifact.kinds.iter().map(|kind| kind.as_str()).collect();
        let form = if built.artifact.kinds.contains(&Kind::Stdio) { "module" } else { "component" };
        Ok(Made {
            path: built.path,
            bytes: built.artifact.bytes,
            form: format!("{form}: {}", kinds.join(", ")),
            imports: built.artifact.imports,
        })
    }

    fn pack(&self, language: Language, root: &Path, how: &How) -> Result<Made> {
        how.is_for(SOURCE)?;
        let path =
            how.out.clone().unwrap_or_else(|| default_out(&self.dir, if how.component { "wasm" } else { "zip" }));
        let source = artifact::read_without(root, Some(&path)).map_err(unreadable)?;
        let files = fnstream_core::units::counted(Source::read(&source)?.files.len(), "file");
        let (bytes, form) = match how.component {
            true => (bundle(&source, &artifact::engines())?, "component with its source"),
            false => (source, "source"),
        };
        self.check(&bytes)?;
        place(&path, &bytes)?;
        Ok(Made { path, bytes, form: format!("{form} in {}: {files}", language.name()), imports: Vec::new() })
    }

    /// The source as an artifact.
    pub(crate) fn source(&self, root: &Path) -> Result<Vec<u8>> {
        artifact::read(root).map_err(unreadable)
    }

    /// Has the engine load the source, as a server does when a function is made: that finds mistakes of syntax, modules that are
    /// missing or cannot work, and that there is no function or more than one. Without an engine here nothing is found.
    fn check(&self, bytes: &[u8]) -> Result {
        let program = match local::runtime(None, Arc::new(Silence))?.load(bytes) {
            Err(error) if error.code == ErrorCode::LanguageUnavailable => {
                output::complain(&format!("note: the source was not checked: {}", error.message));
                return Ok(());
            }
            program => program?,
        };
        let config = self.config()?.map(|config| config.init_config).unwrap_or_default();
        Ok(program.check(&InstanceSpec { function: "check".into(), config, ..InstanceSpec::default() })?)
    }

    /// The description of the function, if there is one.
    pub(crate) fn config(&self) -> Result<Option<FunctionConfig>> {
        let path = self.dir.join(CONFIG);
        if !path.is_file() {
            return Ok(None);
        }
        read_config(&path).map(Some)
    }
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::new(ErrorCode::SourceInvalid, error.to_string())
}

/// Reads a function's description.
pub(crate) fn read_config(path: &Path) -> Result<FunctionConfig> {
    let shown = path.display().to_string();
    let bytes = files::read(path, files::MOST_TEXT)
        .map_err(|e| Failure::new(ErrorCode::InvalidSpec, format!("cannot read '{shown}': {e}")))?;
    let (config, notes) = parse_function_config(&bytes)
        .map_err(|problems: fnstream_config::Problems| Failure::from(Error::from(problems.named(shown.clone()))))?;
    for note in &notes {
        output::complain(&format!("note: {}", note.line(&shown)));
    }
    Ok(config)
}

const GO: &str = "Go";
const SOURCE: &str = "Python and JavaScript";

impl How {
    /// Refuses the options that other languages have.
    fn is_for(&self, languages: &str) -> Result {
        let options = [
            (self.tinygo, "--tinygo", GO),
            (self.per_record, "--per-record", GO),
            (self.component, "--component", SOURCE),
        ];
        match options.iter().find(|(given, _, of)| *given && *of != languages) {
            Some((_, option, SOURCE)) => {
                Err(Failure::Usage(format!("{option} is for programs in {SOURCE}: what others become is one already")))
            }
            Some((_, option, of)) => Err(Failure::Usage(format!("{option} is for programs in {of}"))),
            None => Ok(()),
        }
    }
}

fn has_go(dir: &Path) -> bool {
    let mut entries = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| entry.ok());
    entries.any(|entry| entry.path().extension() == Some("go".as_ref()))
}

/// The folder with source, of a folder: its `src`, or itself.
fn source(dir: &Path) -> Option<(Language, PathBuf)> {
    [dir.join("src"), dir.to_owned()].into_iter().find_map(|root| {
        let mut names: Vec<_> =
            fs::read_dir(&root).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        let language = names.iter().filter(|name| !name.starts_with('.')).find_map(|name| Language::of_file(name))?;
        Some((language, root))
    })
}

/// What source prints while it is checked, it prints again when it runs.
struct Silence;

impl FunctionLog for Silence {
    fn write(&self, _: LogLine<'_>) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn code(files: &[&str]) -> Option<Code> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let root = folder.path().canonicalize().unwrap();
        Some(match Project::of(folder.path()).ok()?.code {
            Code::Source(language, at) => Code::Source(language, at.strip_prefix(root).unwrap().to_owned()),
            code => code,
        })
    }

    #[test]
    fn a_folder_tells_its_language() {
        assert_eq!(code(&["go.mod", "tool.py"]), Some(Code::Compiled(Compiled::Go)));
        assert_eq!(code(&["main.go", "tool.py"]), None, "no module has it");
        assert_eq!(code(&["Cargo.toml", "src/app.py"]), Some(Code::Compiled(Compiled::Rust)));
        assert_eq!(code(&["app.py", "config.yaml"]), Some(Code::Source(Language::Python, "".into())));
        let in_src = Code::Source(Language::JavaScript, "src".into());
        assert_eq!(code(&["src/app.mjs", "eslint.config.js", "package.json"]), Some(in_src));
        assert_eq!(code(&["README.md", "lib/a.py"]), None);
    }
}
