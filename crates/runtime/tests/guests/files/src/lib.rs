// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a program can do with variables and files, as commands that answer in words.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};

/// Does what a command says; the answer is its result, `ok`, or the kind of its error.
pub fn obey(command: &str) -> String {
    let (verb, path) = command.split_once(' ').unwrap_or((command, ""));
    answer(verb, path).unwrap_or_else(|e| format!("{:?}", e.kind()))
}

fn answer(verb: &str, path: &str) -> io::Result<String> {
    let (from, to) = path.split_once(' ').unwrap_or((path, ""));
    match verb {
        "trap" => panic!("as told"),
        "spin" => loop {
            std::hint::black_box(());
        },
        "sleep" => std::thread::sleep(std::time::Duration::from_millis(path.parse().unwrap_or(0))),
        // Before the Unix epoch Rust has no number for it.
        "clock" => {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            return Ok(since.map_or("before".to_owned(), |since| since.as_secs().to_string()));
        }
        "env" => {
            let variables: Vec<_> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            return Ok(variables.join(" "));
        }
        "read" => return fs::read_to_string(path),
        "tail" => {
            let mut file = fs::File::open(path)?;
            file.seek(SeekFrom::End(-2))?;
            let mut rest = String::new();
            file.read_to_string(&mut rest)?;
            return Ok(rest);
        }
        "size" => return Ok(fs::metadata(path)?.len().to_string()),
        "list" => {
            let names = fs::read_dir(path)?.map(|entry| {
                let entry = entry?;
                let folder = if entry.file_type()?.is_dir() { "/" } else { "" };
                Ok(format!("{}{folder}", entry.file_name().to_string_lossy()))
            });
            let mut names = names.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            return Ok(names.join(" "));
        }
        "write" => fs::write(path, "x")?,
        "append" => drop(OpenOptions::new().append(true).open(path)?),
        "read-write" => drop(OpenOptions::new().read(true).write(true).open(path)?),
        "resize" => fs::File::open(path)?.set_len(1)?,
        "mkdir" => fs::create_dir(path)?,
        "remove" => fs::remove_file(path)?,
        "rmdir" => fs::remove_dir(path)?,
        "rename" => fs::rename(from, to)?,
        "link" => fs::hard_link(from, to)?,
        _ => return Ok(format!("what is '{verb}'")),
    }
    Ok("ok".to_owned())
}
