// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Configuration files: text to typed values, with the place of every problem.
//!
//! Owns: the keys of a function's `config.yaml` and of the server's, what each means, and the messages for what is wrong
//! with a file. It reads texts and never files: paths, environment and flags are passed in. It must not know the engine,
//! the server or any store.
//!
//! A file is refused with **all** its problems, each with its line, its column and the name that was probably meant. A key
//! that is known and does nothing is a note, never a silence.
//!
//! # Reading order
//!
//! [`mod@documents`]: a file that holds several. [`problem`]: what is reported. `tree`: a text with the place of each value. [`key`]: what a table of keys is; the tables
//! drive `read`, [`schema`] and [`mod@reference`]. [`function`]: a function's file. [`server`]: the server's settings and where each came from. [`which`]: of
//! which of the two a file is. [`scenario`]: what a function is given and what must come of it.

pub mod documents;
pub mod function;
mod hint;
pub mod key;
pub mod problem;
mod read;
pub mod reference;
pub mod scenario;
pub mod schema;
pub mod server;
mod tree;
mod value;
pub mod which;

pub use documents::documents;
pub use function::{Connector, FunctionConfig, FunctionKind, Input, Output, parse_function_config};
pub use hint::nearest;
pub use problem::{Place, Problem, Problems, Severity};
pub use scenario::parse_scenario;
pub use server::{ServerSettings, parse_server_config, server_config};
pub use which::ConfigKind;
