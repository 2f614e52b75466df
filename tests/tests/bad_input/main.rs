// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What users and machines get wrong, on the real binary: each is refused with its code, its HTTP status and, on the
//! command line, exit code 1 with the message and the advice on standard error. Afterwards the server lives, a function
//! still processes, and nothing is lost.
#![allow(clippy::print_stdout, reason = "what was measured is part of the result")]

mod archives;
mod bodies;
mod disk;
mod folders;
mod http;
mod names;
mod requests;
mod retention;
mod site;
