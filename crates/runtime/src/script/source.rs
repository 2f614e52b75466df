// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The source of a function: a zip archive of its files.
//!
//! The file `function-stream.entry`, if there is one, says where the function is: `FILE`, `FILE:NAME`, or `:NAME` of a class or
//! function that one of the files defines. Without it that is the only file with source at the top, or the one there that is
//! called `app`, `main`, `function` or `index`. The language is that of the entry.

use fnstream_core::{Error, ErrorCode, Result};

use super::zip::{self, Bounds};

/// The file that says where the function is.
const ENTRY: &str = "function-stream.entry";

/// How the entry may be called when nothing says which it is, the first before the others.
const USUAL: [&str; 4] = ["app", "main", "function", "index"];

/// Files, bytes and bytes of a name that source may have.
const MOST_FILES: usize = 4096;
const MOST_BYTES: usize = 64 << 20;
const MOST_NAME: usize = 255;

/// A language whose source can be a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// Files `.py`.
    Python,
    /// Files `.js` and `.mjs`.
    JavaScript,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 2] = [Language::Python, Language::JavaScript];

    /// The word for it: the kind of its functions, and the name of its engine.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Python => "python",
            Language::JavaScript => "javascript",
        }
    }

    /// Its name as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Language::Python => "Python",
            Language::JavaScript => "JavaScript",
        }
    }

    /// The language of a file, by the end of its name.
    pub fn of_file(file: &str) -> Option<Self> {
        match file.rsplit_once('.')?.1 {
            "py" => Some(Language::Python),
            "js" | "mjs" => Some(Language::JavaScript),
            _ => None,
        }
    }
}

/// What is said of a file in a language that becomes one of ours first; none for other files.
pub fn not_yet(file: &str) -> Option<String> {
    let (stem, end) = file.rsplit_once('.')?;
    matches!(end, "ts" | "mts" | "cts" | "tsx" | "jsx").then(|| {
        let file = file.escape_debug();
        let stem = stem.escape_debug();
        format!(
            "'{file}' is not run as it is; make JavaScript of it first, such as by 'npx esbuild {file} --bundle --format=esm \
             --external:functionstream --outfile={stem}.js'"
        )
    })
}

/// A file by its path, with its content.
pub type File = (String, Vec<u8>);

/// The files of a function, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The language.
    pub language: Language,
    /// The file with the function; empty if it is to be found by the name.
    pub file: String,
    /// The name of the function there, if it is said.
    pub name: Option<String>,
    /// All files, in the order of their paths.
    pub files: Vec<File>,
}

impl Source {
    /// Reports whether an artifact is source, by its first bytes.
    pub fn is(artifact: &[u8]) -> bool {
        zip::is_zip(artifact)
    }

    /// Reads an artifact.
    pub fn read(artifact: &[u8]) -> Result<Self> {
        let files = zip::read(artifact, &Bounds { files: MOST_FILES, bytes: MOST_BYTES });
        Self::of(files.map_err(|why| invalid(format!("the zip archive cannot be read: {why}")))?)
    }

    fn of(mut files: Vec<File>) -> Result<Self> {
        files.retain(|(path, _)| !is_litter(path));
        for (path, _) in &files {
            check_path(path)?;
        }
        files.sort();
        if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(invalid(format!("the source has two files '{}'", pair[0].0.escape_debug())));
        }
        let entry = match files.iter().position(|(path, _)| path == ENTRY) {
            Some(at) => {
                let (_, text) = files.remove(at);
                let text = String::from_utf8(text).map_err(|_| invalid(format!("'{ENTRY}' is not UTF-8")))?;
                text.trim().to_owned()
            }
            None => usual(&files)?,
        };
        let (file, name) = entry.split_once(':').map_or((&*entry, None), |(file, name)| (file, Some(name)));
        if !file.is_empty() && !files.iter().any(|(path, _)| path == file) {
            return Err(invalid(format!("the source has no file '{}'", file.escape_debug())));
        }
        let language = match file {
            "" => files.iter().find_map(|(path, _)| Language::of_file(path)),
            file => Language::of_file(file),
        };
        let Some(language) = language else {
            if let Some(advice) = not_yet(file) {
                return Err(invalid(advice));
            }
            let of = if file.is_empty() { "the source".into() } else { format!("'{}'", file.escape_debug()) };
            return Err(invalid(format!("{of} is of no language that can be run: that is told by .py, .js or .mjs")));
        };
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(Source { language, file: file.to_owned(), name, files })
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.files.iter().map(|(path, content)| path.len() + content.len()).sum()
    }

    /// Where the function is, in the words that an engine takes. A name that is not said in the source may be in `config`.
    pub(super) fn entry<'a>(&'a self, config: impl Fn(&str) -> Option<&'a String>) -> String {
        let named = || ["class_name", "processor_class"].into_iter().find_map(|key| config(key).map(String::as_str));
        match self.name.as_deref().or_else(named).filter(|name| !name.is_empty()) {
            Some(name) => format!("{}:{name}", self.file),
            None => self.file.clone(),
        }
    }
}

/// The artifact of these files, the same for the same files. The entry may say where the function is, see the module.
pub fn pack(mut files: Vec<File>, entry: Option<&str>) -> Result<Vec<u8>> {
    if let Some(entry) = entry {
        files.retain(|(path, _)| path != ENTRY);
        files.push((ENTRY.to_owned(), entry.as_bytes().to_vec()));
    }
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    if files.len() > MOST_FILES || bytes > MOST_BYTES {
        let message = format!(
            "the source has {} files and {bytes} bytes, more than {MOST_FILES} files or {MOST_BYTES} bytes",
            files.len()
        );
        return Err(Error::new(ErrorCode::SourceInvalid, message));
    }
    for (path, _) in &files {
        check_path(path)?;
    }
    files.sort();
    let artifact = zip::write(&files);
    Source::read(&artifact)?;
    Ok(artifact)
}

/// Modules by their dotted names become files by their paths. A name that is a path already stays as it is.
pub fn files_of_modules(language: Language, modules: Vec<File>) -> Vec<File> {
    let end = match language {
        Language::Python => "py",
        Language::JavaScript => "js",
    };
    let names: Vec<_> = modules.iter().map(|(name, _)| name.clone()).collect();
    let path = |name: String| {
        if name.contains('/') || Language::of_file(&name).is_some() {
            return name;
        }
        let within = format!("{name}.");
        let place = name.replace('.', "/");
        let is_package = language == Language::Python && names.iter().any(|other| other.starts_with(&within));
        if is_package { format!("{place}/__init__.{end}") } else { format!("{place}.{end}") }
    };
    modules.into_iter().map(|(name, content)| (path(name), content)).collect()
}

/// What editors, interpreters and systems leave in folders.
pub fn is_litter(path: &str) -> bool {
    path.split('/').any(|part| {
        matches!(
            part,
            "__pycache__" | "__MACOSX" | ".DS_Store" | ".git" | ".venv" | ".pytest_cache" | "node_modules/.cache"
        )
    }) || path.ends_with(".pyc")
}

fn usual(files: &[File]) -> Result<String> {
    let top = || {
        files.iter().map(|(path, _)| &**path).filter(|path| !path.contains('/') && Language::of_file(path).is_some())
    };
    let stem = |path: &str| path.rsplit_once('.').map(|(stem, _)| stem.to_owned());
    let by_name = USUAL.iter().find_map(|usual| top().find(|path| stem(path).as_deref() == Some(usual)));
    if let Some(found) = by_name {
        return Ok(found.to_owned());
    }
    let mut all = top();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only.to_owned()),
        (None, _) => {
            let told = "the source has no file .py, .js or .mjs at its top";
            let other = files.iter().filter(|(path, _)| !path.contains('/')).find_map(|(path, _)| not_yet(path));
            Err(invalid(other.map_or_else(|| told.to_owned(), |advice| format!("{told}: {advice}"))))
        }
        (Some(first), Some(second)) => Err(invalid(format!(
            "the source has several files at its top, such as '{first}' and '{second}': call the one with the function 'app', or \
             name it in '{ENTRY}'"
        ))),
    }
}

fn check_path(path: &str) -> Result<()> {
    let why = if path.len() > MOST_NAME {
        format!("has {} bytes, more than {MOST_NAME}", path.len())
    } else if path.starts_with('/') || path.contains(['\\', '\0', ':']) {
        "is no path within a folder".to_owned()
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "leads out of its folder, or has empty parts".to_owned()
    } else {
        return Ok(());
    };
    Err(invalid(format!("the name of the file '{}' {why}", path.escape_debug())))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::SourceInvalid, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn source(paths: &[&str]) -> Result<Source> {
        let files = paths.iter().map(|path| ((*path).to_owned(), b"x".to_vec())).collect();
        Source::of(files)
    }

    fn why(paths: &[&str]) -> String {
        source(paths).unwrap_err().message
    }

    #[test]
    fn the_entry_is_the_only_file_or_the_one_with_a_usual_name() {
        assert_eq!(source(&["money.py", "lib/a.py"]).unwrap().file, "money.py");
        assert_eq!(source(&["z.py", "app.py", "a.py"]).unwrap().file, "app.py");
        assert_eq!(source(&["index.mjs", "z.mjs"]).unwrap().language, Language::JavaScript);
        assert_eq!(
            why(&["a.py", "b.py"]),
            "the source has several files at its top, such as 'a.py' and 'b.py': call the one with the function 'app', or name \
             it in 'function-stream.entry'"
        );
        assert_eq!(why(&["lib/a.py"]), "the source has no file .py, .js or .mjs at its top");
        assert_eq!(
            why(&["app.ts", "lib/a.js"]),
            "the source has no file .py, .js or .mjs at its top: 'app.ts' is not run as it is; make JavaScript of it first, such as \
             by 'npx esbuild app.ts --bundle --format=esm --external:functionstream --outfile=app.js'"
        );
    }

    #[test]
    fn an_entry_that_is_said_is_taken() {
        let files = vec![("a.py".into(), b"x".to_vec()), ("b.py".into(), Vec::new())];
        let artifact = pack(files.clone(), Some("b.py:Count")).unwrap();
        assert!(Source::is(&artifact));
        let source = Source::read(&artifact).unwrap();
        assert_eq!((&*source.file, source.name.as_deref(), &source.files), ("b.py", Some("Count"), &files));
        assert_eq!(source.entry(|_| None), "b.py:Count");
        let by_name = Source::read(&pack(files.clone(), Some(":Count")).unwrap()).unwrap();
        assert_eq!((by_name.language, by_name.entry(|_| None)), (Language::Python, ":Count".to_owned()));
        let missing = pack(files, Some("c.py")).unwrap_err();
        assert_eq!(missing.message, "the source has no file 'c.py'");
    }

    #[test]
    fn the_configuration_may_name_the_function() {
        let name = "Count".to_owned();
        let source = source(&["app.py"]).unwrap();
        assert_eq!(source.entry(|key| (key == "processor_class").then_some(&name)), "app.py:Count");
        assert_eq!(source.entry(|_| None), "app.py");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in ["../a.py", "a/../../b.py", "/etc/a.py", "a//b.py", "./a.py", "a\\b.py", "c:a.py"] {
            assert!(why(&["app.py", bad]).starts_with("the name of the file '"), "{bad}");
        }
        assert_eq!(
            why(&["app.py", "../a.py"]),
            "the name of the file '../a.py' leads out of its folder, or has empty parts"
        );
        assert_eq!(why(&["app.py", "app.py"]), "the source has two files 'app.py'");
    }

    #[test]
    fn litter_is_left_out() {
        let source =
            source(&["app.py", "__pycache__/app.cpython-311.pyc", "__MACOSX/._app.py", "lib/.DS_Store"]).unwrap();
        assert_eq!(source.files.len(), 1);
    }

    #[test]
    fn modules_become_files() {
        let modules = ["main", "pkg", "pkg.inner", "a/b.py", "c.py"].map(|name| (name.to_owned(), Vec::new()));
        let files: Vec<_> =
            files_of_modules(Language::Python, modules.to_vec()).into_iter().map(|(path, _)| path).collect();
        assert_eq!(files, ["main.py", "pkg/__init__.py", "pkg/inner.py", "a/b.py", "c.py"]);
    }
}
