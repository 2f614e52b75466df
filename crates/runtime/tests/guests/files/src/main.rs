// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A filter whose input is a command.

use std::io::{Read, Write};

fn main() {
    let mut command = String::new();
    std::io::stdin().read_to_string(&mut command).expect("the record can be read");
    std::io::stdout().write_all(guest_files::obey(&command).as_bytes()).expect("a result can be written");
}
