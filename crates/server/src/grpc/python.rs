// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Python modules that come one by one become an artifact.

use fnstream_core::{Error, ErrorCode, Result};
use fnstream_runtime::Language;
use fnstream_runtime::source::{File, files_of_modules, pack};

/// The artifact of these modules, of which one defines the class; without a name the configuration names it.
pub(super) fn artifact(class: &str, modules: Vec<File>) -> Result<Vec<u8>> {
    if modules.is_empty() {
        return Err(invalid("there are no modules".to_owned()));
    }
    if !class.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(invalid(format!("'{}' is no name of a class", class.escape_debug())));
    }
    // Which of the modules has it is found when they are loaded.
    pack(files_of_modules(Language::Python, modules), Some(&format!(":{class}")))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::SourceInvalid, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_runtime::Source;

    use super::*;

    #[test]
    fn modules_and_a_class_are_an_artifact() {
        let modules = vec![("counting".to_owned(), b"x".to_vec()), ("words.py".to_owned(), b"y".to_vec())];
        let source = Source::read(&artifact("Count", modules).unwrap()).unwrap();
        let paths: Vec<_> = source.files.iter().map(|(path, _)| &**path).collect();
        assert_eq!((paths, source.name.as_deref()), (vec!["counting.py", "words.py"], Some("Count")));
    }

    #[test]
    fn what_is_no_class_or_no_module_is_refused() {
        let module = || vec![("a".to_owned(), Vec::new())];
        assert_eq!(artifact("Count", Vec::new()).unwrap_err().message, "there are no modules");
        assert_eq!(artifact("a:b", module()).unwrap_err().message, "'a:b' is no name of a class");
        let away = artifact("A", vec![("../a".to_owned(), Vec::new())]).unwrap_err();
        assert_eq!(away.code, ErrorCode::SourceInvalid);
    }
}
