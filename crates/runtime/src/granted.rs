// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Opening what lies in folders that a function was granted: only what can be read without waiting for anybody.
//!
//! A granted folder changes while its function runs, so what is in it is looked at when it is opened, after it was opened:
//!
//! | what it is | opened |
//! |---|---|
//! | a file or a folder of a local file system | yes |
//! | a pipe, a socket, a device, or a link to one | no: reading may wait for another process or for ever, and opening a device may do something |
//! | anything on a file system that another machine or a process of the user serves | no: a read waits until that answers, and cannot be interrupted |
//!
//! Nothing is waited for meanwhile: files are opened without blocking, and stay so.

use std::fs::File;
use std::io;
use std::path::Path;

use cap_primitives::ambient_authority;
use cap_primitives::fs::{FollowSymlinks, Metadata, OpenOptions, open as open_beneath, open_ambient_dir, stat};
use fnstream_core::spec::FileGrant;
use fnstream_core::{Error, ErrorCode, Result};

/// A path that was opened, by its kind.
pub(crate) enum Opened {
    Folder(File),
    File(File),
    /// A symbolic link at the end of the path, which was not to be followed.
    Link,
}

/// Opens a granted folder. `Err` when it is not there, which may pass, or when reading it may wait for others.
pub(crate) fn folder(grant: &FileGrant) -> Result<File> {
    let opened = open_ambient_dir(Path::new(&grant.host), ambient_authority());
    opened.and_then(local).map_err(|why| {
        Error::new(ErrorCode::Storage, format!("the granted folder '{}' cannot be opened: {why}", grant.host))
    })
}

/// Opens a path below a folder to be read; neither `..` nor an absolute path nor a link leads out.
pub(crate) fn open(folder: &File, path: &Path, follow: bool) -> io::Result<Opened> {
    // First without opening it: a device may do something when it is opened.
    let found = stat(folder, path, FollowSymlinks::follow(follow))?;
    if found.is_symlink() {
        return Ok(Opened::Link);
    }
    check(&found)?;
    // It may have become another one just now.
    let mut options = OpenOptions::new();
    options.read(true)._cap_fs_ext_nonblock(true)._cap_fs_ext_follow(FollowSymlinks::follow(follow));
    let file = local(open_beneath(folder, path, &options)?)?;
    let opened = Metadata::from_file(&file)?;
    check(&opened)?;
    Ok(if opened.is_dir() { Opened::Folder(file) } else { Opened::File(file) })
}

/// Whether what is below that path is served by another machine or by a process: reading it may wait for that.
pub fn is_remote(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::fs::statfs(path).is_ok_and(|found| waits_for_others(found.f_type as u64));
    #[cfg(not(target_os = "linux"))]
    return {
        let _ = path;
        false
    };
}

fn check(found: &Metadata) -> io::Result<()> {
    if found.is_dir() || found.is_file() { Ok(()) } else { Err(refused("it is neither a file nor a folder")) }
}

/// The same file, unless its file system is served by another.
fn local(file: File) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    if waits_for_others(rustix::fs::fstatfs(&file)?.f_type as u64) {
        return Err(refused("it is on a network file system, or on one that a process serves"));
    }
    Ok(file)
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// File systems that wait for another machine or for a process, as `statfs` names them.
#[cfg(target_os = "linux")]
fn waits_for_others(kind: u64) -> bool {
    const NFS: u64 = 0x6969;
    const SMB: u64 = 0x517B;
    const CIFS: u64 = 0xFF53_4D42;
    const SMB2: u64 = 0xFE53_4D42;
    const AFS: u64 = 0x5346_414F;
    const KAFS: u64 = 0x6B41_4653;
    const CODA: u64 = 0x7375_7245;
    const CEPH: u64 = 0x00C3_6400;
    const NCP: u64 = 0x564C;
    const V9FS: u64 = 0x0102_1997;
    const FUSE: u64 = 0x6573_5546;
    const GFS2: u64 = 0x0116_1970;
    const OCFS2: u64 = 0x7461_636F;
    const LUSTRE: u64 = 0x0BD0_0BD0;
    const GPFS: u64 = 0x4750_4653;
    const AUTOFS: u64 = 0x0187;
    // The number has 32 bits, and a sign on some systems.
    let kind = kind & 0xFFFF_FFFF;
    [NFS, SMB, CIFS, SMB2, AFS, KAFS, CODA, CEPH, NCP, V9FS, FUSE, GFS2, OCFS2, LUSTRE, GPFS, AUTOFS].contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn file_systems_that_wait_for_others_are_told_apart() {
        // As a number with a sign it fills the upper half.
        for kind in [0x6969, 0xFF53_4D42, 0xFF53_4D42_u32 as i32 as i64 as u64, 0x6573_5546] {
            assert!(waits_for_others(kind), "{kind:#x}");
        }
        let (ext4, tmpfs, overlay, btrfs, xfs) = (0xEF53, 0x0102_1994, 0x794C_7630, 0x9123_683E, 0x5846_5342);
        for kind in [ext4, tmpfs, overlay, btrfs, xfs] {
            assert!(!waits_for_others(kind), "{kind:#x}");
        }
    }

    #[test]
    fn a_pipe_that_takes_the_place_of_a_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = File::open(dir.path()).unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "x").unwrap();
        assert!(matches!(open(&folder, Path::new("f"), true), Ok(Opened::File(_))));
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(&folder, "f", rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let error = open(&folder, Path::new("f"), true).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
