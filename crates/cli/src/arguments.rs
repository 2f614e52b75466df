// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What the parser makes of values that begin with a hyphen.
//!
//! `-t -5` gives a value that is wrong, and not a flag `-5` that nobody knows: where a number, a duration or a size is
//! expected, whatever follows is it, and the complaint names the option. Other options take negative numbers.

use std::any::TypeId;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{Arg, Command};

/// The same command, whose options and those of its subcommands take such values.
pub(crate) fn with_hyphens(command: Command) -> Command {
    command.mut_args(taking).mut_subcommands(with_hyphens)
}

fn taking(arg: Arg) -> Arg {
    if arg.is_positional() || !arg.get_action().takes_values() {
        return arg;
    }
    match is_quantity(arg.get_value_parser()) {
        true => arg.allow_hyphen_values(true),
        false => arg.allow_negative_numbers(true),
    }
}

fn is_quantity(parser: &ValueParser) -> bool {
    let quantities = [
        TypeId::of::<Duration>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<i64>(),
        TypeId::of::<f64>(),
    ];
    quantities.iter().any(|quantity| parser.type_id() == *quantity)
}
