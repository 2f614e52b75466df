// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Backups that do not come to their end, and the command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fnstream_api::{BackupProgress, BackupRequest, Client, ClientError, ProduceOptions};
use fnstream_core::ErrorCode;
use fnstream_tests::cli::{Cli, complaint, printed};
use fnstream_tests::faults::{Fault, Faults, Manner, calls};
use fnstream_tests::node::Node;
use fnstream_tests::seed::Seed;
use fnstream_tests::server::ServerOptions;
use fnstream_tests::{binary, within};
use rand::Rng;
use rustix::io::Errno;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

use super::{run, text};

/// So slow that it does not end by itself.
const SLOW: u64 = 64 << 10;

/// A server with some megabytes that compress to nothing.
async fn with_data(mut node: Node) -> Result<(Node, Client)> {
    let client = node.start().await?;
    let mut rng = Seed::of("backups")?.rng(0);
    for _ in 0..8 {
        let mut bytes = vec![0; 512 << 10];
        rng.fill_bytes(&mut bytes);
        client.produce("bulk", bytes, &ProduceOptions::default()).await?;
    }
    Ok((node, client))
}

/// Begins a slow backup, and comes back when it has begun.
async fn slowly(client: &Client, to: &str) -> Result<JoinHandle<Result<(), ClientError>>> {
    let (tell, mut told) = unbounded_channel::<BackupProgress>();
    let (client, asked) = (client.clone(), BackupRequest { to: to.to_owned(), rate: Some(SLOW) });
    let hear = move |progress| _ = tell.send(progress);
    let making = tokio::spawn(async move { client.backup(&asked, hear).await.map(drop) });
    within("a backup to begin", told.recv()).await?.context("the backup did not begin")?;
    Ok(making)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_leaves_no_backup_and_nothing_in_its_way() -> Result<()> {
    let (mut node, client) = with_data(Node::new(ServerOptions::new(binary::server()?))?).await?;
    let (to, partial) = (node.folder().join("backup"), node.folder().join("backup.partial"));
    let making = slowly(&client, text(&to)?).await?;
    node.kill()?;
    let broken = within("the client to notice", making).await??;
    ensure!(broken.is_err_and(|error| error.is(ErrorCode::Unavailable)), "a killed server answered");
    ensure!(!to.exists() && partial.exists() && node.data_dir().join("checkpoint.tmp").exists());
    complaint(run(&["restore", "--verify", "--from", text(&partial)?])?, "FS-1525")?;

    let client = node.start().await?;
    ensure!(!node.data_dir().join("checkpoint.tmp").exists(), "the checkpoint is still there");
    client.backup(&BackupRequest { to: text(&to)?.to_owned(), rate: None }, |_| ()).await?;
    ensure!(!partial.exists(), "what was left is still there");
    printed(run(&["restore", "--verify", "--from", text(&to)?])?)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_and_one_that_fails_leave_nothing_and_disturb_nobody() -> Result<()> {
    let place = tempfile::tempdir()?;
    let (faults, disk) = (Faults::new(place.path())?, place.path().join("disk"));
    std::fs::create_dir(&disk)?;
    let node = Node::new(faults.preload(ServerOptions::new(binary::server()?), &disk))?;
    let (_node, client) = with_data(node).await?;
    let to = disk.join("backup");
    let asked = BackupRequest { to: text(&to)?.to_owned(), rate: None };
    for (calls, skip, errno, code) in [
        (calls::WRITE, 5, Errno::NOSPC, ErrorCode::BackupFull),
        (calls::WRITE, 0, Errno::DQUOT, ErrorCode::BackupFull),
        (calls::SYNC, 1, Errno::NOSPC, ErrorCode::BackupFull),
        (calls::SYNC, 3, Errno::IO, ErrorCode::BackupUnwritable),
        (calls::WRITE, 2, Errno::IO, ErrorCode::BackupUnwritable),
    ] {
        faults.set(Fault { skip, ..Fault::failing(calls, errno) })?;
        let refused = client.backup(&asked, |_| ()).await.err().context("a backup without its disk")?;
        ensure!(refused.is(code), "{errno}: {refused}");
        ensure!(faults.dealt()? > 0, "{errno}: nothing failed");
        client.produce("meanwhile", "x", &ProduceOptions::default()).await?;
        faults.lift()?;
        let left: Vec<PathBuf> =
            std::fs::read_dir(&disk)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
        ensure!(left.is_empty(), "{errno}: left: {left:?}");
    }
    client.backup(&asked, |_| ()).await?;
    printed(run(&["restore", "--verify", "--from", text(&to)?])?)?;
    Ok(())
}

/// What is in a folder.
fn names(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?)
}

/// A server whose calls on files of a folder of its own are met in the kernel; with the folder, its faults and its client.
async fn with_disk(place: &Path) -> Result<(Node, Client, Faults, PathBuf)> {
    let (faults, disk) = (Faults::new(place)?, place.join("disk"));
    std::fs::create_dir(&disk)?;
    let node = Node::new(faults.trap(ServerOptions::new(binary::server()?), &disk))?;
    let (node, client) = with_data(node).await?;
    Ok((node, client, faults, disk))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_that_fails_once_ends_the_backup_with_its_reason_and_nothing_is_left() -> Result<()> {
    let place = tempfile::tempdir()?;
    let (_node, client, faults, disk) = with_disk(place.path()).await?;
    let asked = BackupRequest { to: text(&disk.join("backup"))?.to_owned(), rate: None };
    for (calls, errno, code, least) in [
        (calls::OPEN, Errno::IO, ErrorCode::BackupUnwritable, 12),
        (calls::OPEN, Errno::NOSPC, ErrorCode::BackupFull, 12),
        (calls::OPEN, Errno::ACCESS, ErrorCode::BackupUnwritable, 12),
        (calls::RENAME, Errno::IO, ErrorCode::BackupUnwritable, 4),
        (calls::RENAME, Errno::NOSPC, ErrorCode::BackupFull, 4),
        (calls::SYNC, Errno::IO, ErrorCode::BackupUnwritable, 12),
        (calls::REMOVE, Errno::ROFS, ErrorCode::BackupUnwritable, 1),
    ] {
        // Each call in its turn, until there are no more.
        for skip in 0.. {
            faults.set(Fault { skip, times: Some(1), ..Fault::failing(calls, errno) })?;
            let made = client.backup(&asked, |_| ()).await;
            let dealt = faults.dealt()?;
            faults.lift()?;
            if dealt == 0 {
                made?;
                ensure!(skip >= least, "{errno}: {skip} calls alone were met");
                std::fs::remove_dir_all(disk.join("backup"))?;
                break;
            }
            let refused = made.err().with_context(|| format!("{errno} at call {skip}: it is made"))?;
            ensure!(refused.is(code), "{errno} at call {skip}: {refused}");
            ensure!(names(&disk)?.is_empty(), "{errno} at call {skip}: left: {:?}", names(&disk)?);
        }
        client.produce("meanwhile", "x", &ProduceOptions::default()).await?;
    }
    Ok(())
}

/// Restores under faults: the program on its own.
fn restore(faults: &Faults, disk: &Path, args: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary::server()?);
    command.arg("restore").args(args).envs(faults.trap(ServerOptions::new(binary::server()?), disk).env);
    Ok(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_fails_or_is_killed_says_so_and_leaves_what_no_server_takes() -> Result<()> {
    let place = tempfile::tempdir()?;
    let (faults, disk) = (Faults::new(place.path())?, place.path().join("disk"));
    std::fs::create_dir(&disk)?;
    let (mut node, client) = with_data(Node::new(ServerOptions::new(binary::server()?))?).await?;
    let (from, to) = (place.path().join("backup"), disk.join("data"));
    client.backup(&BackupRequest { to: text(&from)?.to_owned(), rate: None }, |_| ()).await?;
    node.terminate().await?;
    let (from, target) = (text(&from)?, text(&to)?);
    let args = ["--from", from, "--data-dir", target];
    let refused_and_replaced = |what: &str| -> Result<()> {
        // A server, and whoever restores without a word about what is there.
        let served = run(&["standalone", "--data-dir", target])?;
        let said = String::from_utf8_lossy(&served.stderr);
        // What it is told apart by depends on how much of it is there.
        let is_refused = ["FS-1504", "FS-1506"].iter().any(|code| said.contains(&format!("error {code}: ")));
        ensure!(served.status.code() == Some(1) && is_refused, "{what}: a server: {said}");
        complaint(run(&["restore", "--from", from, "--data-dir", target])?, "FS-1528")
            .with_context(|| what.to_owned())?;
        printed(run(&["restore", "--from", from, "--data-dir", target, "--replace"])?)
            .with_context(|| what.to_owned())?;
        printed(run(&["check", "--data-dir", target])?)?;
        Ok(std::fs::remove_dir_all(&to)?)
    };
    for (calls, errno, code) in [
        (calls::WRITE, Errno::NOSPC, "FS-1502"),
        (calls::WRITE, Errno::IO, "FS-1501"),
        (calls::SYNC, Errno::IO, "FS-1501"),
        (calls::RENAME, Errno::IO, "FS-1501"),
    ] {
        for skip in 0.. {
            faults.set(Fault { skip, ..Fault::failing(calls, errno) })?;
            let restored = restore(&faults, &disk, &args)?.output()?;
            let dealt = faults.dealt()?;
            faults.lift()?;
            let what = format!("{errno} at call {skip}");
            if dealt == 0 {
                printed(restored)?;
                ensure!(skip > 0, "{what}: nothing was met");
                std::fs::remove_dir_all(&to)?;
                break;
            }
            complaint(restored, code).with_context(|| what.clone())?;
            match to.join("FORMAT").exists() {
                // All of it is there, and was looked at once more.
                true => drop(printed(run(&["check", "--data-dir", target])?).with_context(|| what)?),
                false if to.join("db").exists() && skip % 6 == 0 => {
                    refused_and_replaced(&what)?;
                    continue;
                }
                false => {}
            }
            if to.exists() {
                std::fs::remove_dir_all(&to)?;
            }
        }
    }

    // Killed amid the copying.
    faults.set(Fault {
        manner: Manner::Slow(Duration::from_secs(60)),
        skip: 3,
        ..Fault::failing(calls::WRITE, Errno::IO)
    })?;
    let mut restoring = restore(&faults, &disk, &args)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let amid = async {
        while faults.dealt()? == 0 {
            looks.tick().await;
        }
        anyhow::Ok(())
    };
    within("a write to be slow", amid).await??;
    restoring.kill()?;
    restoring.wait()?;
    faults.lift()?;
    refused_and_replaced("killed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_say_what_they_did() -> Result<()> {
    let (mut node, client) = with_data(Node::new(ServerOptions::new(binary::server()?))?).await?;
    let folder = node.folder().to_owned();
    let cli = Cli::new(client.url(), &folder)?;
    let made: serde_json::Value = serde_json::from_str(&cli.prints(&["backup", "--to", "one", "--json"])?)?;
    ensure!(made["to"] == text(&folder.join("one"))? && made["bytes"].as_u64() > Some(4 << 20), "{made}");
    let said = cli.prints(&["backup", "--to", "two", "--rate", "1GiB"])?;
    ensure!(
        said.starts_with(&format!("Backup made: {} (topics 1, functions 0, ", folder.join("two").display())),
        "{said}"
    );
    cli.refuses(&["backup", "--to", "two"], "FS-1521")?;
    cli.refuses(&["backup", "--to", "../two"], "FS-1521")?;
    let making = slowly(&client, text(&folder.join("slow"))?).await?;
    cli.refuses(&["backup", "--to", "three"], "FS-1520")?;
    making.abort();

    let verified = printed(run(&["restore", "--verify", "--from", text(&folder.join("one"))?])?)?;
    ensure!(verified.starts_with("the backup is whole: topics 1, functions 0, files "), "{verified}");
    let data = node.data_dir();
    let (one, data) = (folder.join("one"), text(&data)?);
    let restore = ["restore", "--from", text(&one)?, "--data-dir", data, "--json"];
    complaint(run(&restore)?, "FS-1528")?;
    let replace = [&restore[..], &["--replace"]].concat();
    complaint(run(&replace)?, "FS-1503")?;
    node.terminate().await?;
    let restored: serde_json::Value = serde_json::from_str(&printed(run(&replace)?)?)?;
    ensure!(restored["replaced"].as_str().is_some_and(|path| path.ends_with("/replaced-1")), "{restored}");
    let client = node.start().await?;
    ensure!(client.list_topics().await? == ["bulk"]);
    Ok(())
}
