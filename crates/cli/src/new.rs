// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! `function-stream new`: a project to begin with.

use std::path::Path;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use fnstream_scaffold::{Language, Refused, create};

use crate::failure::{Failure, Result};
use crate::output;

/// Make a new project: a folder with a function, its test, a scenario, a config.yaml, and the SDK.
///
/// Needs neither a network nor a toolchain.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The language
    #[arg(value_enum, value_name = "LANG")]
    language: Lang,
    /// Name of the project, of its folder and of the function: lowercase letters, digits, '-' and '_'
    #[arg(value_name = "NAME", allow_hyphen_values = true)]
    name: String,
}

/// A language by its word on the command line.
#[derive(Debug, Clone, Copy)]
struct Lang(Language);

impl ValueEnum for Lang {
    fn value_variants<'a>() -> &'a [Self] {
        &[Lang(Language::Go), Lang(Language::Rust), Lang(Language::Python), Lang(Language::JavaScript)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let value = PossibleValue::new(self.0.as_str());
        Some(match self.0 {
            Language::Python => value.alias("py"),
            Language::JavaScript => value.alias("js"),
            Language::Go | Language::Rust => value,
        })
    }
}

pub(crate) fn run(args: &Args) -> Result {
    create(args.language.0, &args.name, Path::new("")).map_err(|refused| match refused {
        Refused::Name(why) => Failure::Usage(why),
        Refused::Files(why) => Failure::Plain(why),
    })?;
    output::line(format!("Created {}/, a function in {}", args.name, name(args.language.0)))?;
    output::line(format!("Next: cd {} && function-stream test", args.name))
}

fn name(language: Language) -> &'static str {
    match language {
        Language::Go => "Go",
        Language::Rust => "Rust",
        Language::Python => "Python",
        Language::JavaScript => "JavaScript",
    }
}
