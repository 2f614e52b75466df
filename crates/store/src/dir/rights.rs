// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The rights of the data folder. Since nobody else comes past it, those of what is in it matter less.

use fnstream_core::dir::Dir;
use fnstream_core::{Error, ErrorCode, Result};
use rustix::fs::{Mode, fchmod, fstat};

use crate::error::file;

/// The right of everybody else to write.
const OTHERS_WRITE: u32 = 0o002;

/// What becomes of a folder that does not have the rights that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// More can be done with it than should be.
    Wider,
    /// Less can be done with it.
    Narrower,
    /// Anybody can change what is in it.
    Exposed,
}

fn judge(has: u32, wanted: u32) -> Verdict {
    match has & 0o777 {
        has if has == wanted => Verdict::Good,
        has if has & OTHERS_WRITE != 0 => Verdict::Exposed,
        has if has & !wanted != 0 => Verdict::Wider,
        _ => Verdict::Narrower,
    }
}

/// Gives the folder the rights that it must have. One that is somebody else's stays as it is: it is refused if everybody may
/// write to it.
pub(super) fn keep(dir: &Dir) -> Result<()> {
    let rights = || fstat(dir.as_file()).map(|stat| u32::from(stat.st_mode as u16) & 0o7777);
    let cannot = |e: rustix::io::Errno| file("cannot read the rights of", dir.path(), &e.into());
    let (before, wanted) = (rights().map_err(cannot)?, dir.access().of_folders());
    if judge(before, wanted) == Verdict::Good {
        return Ok(());
    }
    // What it inherits stays: the bits before those of reading, writing and entering.
    let changed = fchmod(dir.as_file(), Mode::from_bits_truncate((before & !0o777 | wanted) as _));
    let now = rights().map_err(cannot)?;
    let (folder, was, is) = (dir.path().display(), octal(before), octal(now));
    match (judge(now, wanted), judge(before, wanted)) {
        (Verdict::Good, Verdict::Narrower) => tracing::info!(%folder, was, is, "the data folder was given its rights"),
        (Verdict::Good, _) => {
            tracing::warn!(%folder, was, is, "others had rights to the data folder, they were taken away")
        }
        (Verdict::Exposed, _) => {
            let why = changed.err().map_or_else(String::new, |e| format!(": {}", std::io::Error::from(e)));
            let message = format!("everybody may write to '{folder}' (rights {is}), which cannot be changed{why}");
            return Err(Error::new(ErrorCode::DataDirExposed, message));
        }
        (_, _) => tracing::warn!(
            %folder, is, should = octal(wanted),
            "the rights of the data folder are not what they should be and cannot be changed: have its owner do it with chmod"
        ),
    }
    Ok(())
}

fn octal(rights: u32) -> String {
    format!("{:04o}", rights & 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_judged_by_who_may_do_more() {
        for (has, wanted, verdict) in [
            (0o700, 0o700, Verdict::Good),
            (0o2750, 0o750, Verdict::Good),
            (0o755, 0o700, Verdict::Wider),
            (0o770, 0o750, Verdict::Wider),
            (0o701, 0o750, Verdict::Wider),
            (0o700, 0o750, Verdict::Narrower),
            (0o777, 0o700, Verdict::Exposed),
            (0o1777, 0o750, Verdict::Exposed),
        ] {
            assert_eq!(judge(has, wanted), verdict, "{has:o} for {wanted:o}");
        }
    }
}
