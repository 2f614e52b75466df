// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The files of a project. Words between `@` are replaced.

use crate::Language;

const COMMON: &[(&str, &str)] = &[
    ("config.yaml", include_str!("../templates/common/config.yaml.in")),
    ("scenarios/counting.yaml", include_str!("../templates/common/counting.yaml.in")),
    ("README.md", include_str!("../templates/common/README.md.in")),
];

const GO: &[(&str, &str)] = &[
    ("go.mod", include_str!("../templates/go/go.mod.in")),
    ("main.go", include_str!("../templates/go/main.go.in")),
    ("main_test.go", include_str!("../templates/go/main_test.go.in")),
    (".gitignore", "/build/\n"),
];

const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../templates/rust/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../templates/rust/src/lib.rs.in")),
    (".gitignore", "/build/\n/target/\n"),
];

const PYTHON: &[(&str, &str)] = &[
    ("pyproject.toml", include_str!("../templates/python/pyproject.toml.in")),
    ("src/app.py", include_str!("../templates/python/src/app.py.in")),
    ("tests/__init__.py", ""),
    ("tests/test_app.py", include_str!("../templates/python/tests/test_app.py.in")),
    (".gitignore", "/build/\n__pycache__/\n.pytest_cache/\n/.venv/\n"),
];

const JAVASCRIPT: &[(&str, &str)] = &[
    ("package.json", include_str!("../templates/javascript/package.json.in")),
    ("src/app.js", include_str!("../templates/javascript/src/app.js.in")),
    ("tests/app.test.js", include_str!("../templates/javascript/tests/app.test.js.in")),
    // The link to the SDK is part of the project, as the SDK is.
    (".gitignore", "/build/\n/node_modules/*\n!/node_modules/functionstream\n"),
];

/// What the common files say of a language.
struct Words {
    source: &'static str,
    tests: &'static str,
    artifact: &'static str,
    archive: &'static str,
    needs: &'static str,
}

fn words(language: Language) -> Words {
    match language {
        Language::Go => Words {
            source: "main.go",
            tests: "main_test.go",
            artifact: "build/@NAME@.wasm",
            archive: "build/@NAME@.wasm",
            needs: "Go 1.24 or later is needed. The SDK is in .function-stream, so nothing is fetched.",
        },
        Language::Rust => Words {
            source: "src/lib.rs",
            tests: "src/lib.rs",
            artifact: "build/@NAME@.wasm",
            archive: "build/@NAME@.wasm",
            needs: "Rust 1.95 or later is needed, with `rustup target add wasm32-wasip2`. The SDK is in\n.function-stream; cargo fetches its dependencies once: `wit-bindgen`, `hashbrown`, and what these need.",
        },
        Language::Python => Words {
            source: "src/app.py",
            tests: "tests/",
            artifact: "build/@NAME@.zip",
            archive: "src",
            needs: "The server has the interpreter, so no tool is needed. With Python 3.10 or later\n`python3 -m unittest` and `pytest` run the tests, too.",
        },
        Language::JavaScript => Words {
            source: "src/app.js",
            tests: "tests/",
            artifact: "build/@NAME@.zip",
            archive: "src",
            needs: "The server has the engine, so no tool is needed. With Node.js 20 or later\n`node --test` runs the tests, too.",
        },
    }
}

/// The files of a project, but for the SDK.
pub(crate) fn files(language: Language, name: &str) -> Vec<(&'static str, String)> {
    let own = match language {
        Language::Go => GO,
        Language::Rust => RUST,
        Language::Python => PYTHON,
        Language::JavaScript => JAVASCRIPT,
    };
    let words = words(language);
    let text = |text: &str| {
        text.replace("@SOURCE@", words.source)
            .replace("@TESTS@", words.tests)
            .replace("@ARTIFACT@", words.artifact)
            .replace("@ARCHIVE@", words.archive)
            .replace("@NEEDS@", words.needs)
            .replace("@NAME@", name)
    };
    COMMON.iter().chain(own).map(|(path, content)| (*path, text(content))).collect()
}
