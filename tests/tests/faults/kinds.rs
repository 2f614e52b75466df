// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One error at a time, of each kind.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fnstream_core::ErrorCode;
use fnstream_tests::faults::{Fault, Manner, calls};
use fnstream_tests::seed::Seed;
use rand::RngExt;
use rustix::io::Errno;

use super::site::{Site, get, metric, until_accepted, until_ready, until_refused};

/// A kind of error, and what is to be seen of it.
struct Kind {
    durability: &'static str,
    calls: u32,
    errno: Errno,
    manner: Manner,
    /// `None` lasts until it is lifted.
    times: Option<u32>,
    /// The first code that a producer may get.
    codes: &'static [ErrorCode],
}

/// What a producer gets that meets the error, or comes later.
const ERROR: &[ErrorCode] = &[ErrorCode::Storage, ErrorCode::StoreRecovering];
const FULL: &[ErrorCode] = &[ErrorCode::StorageFull, ErrorCode::StoreRecovering];

const LASTING: Kind = Kind {
    durability: "group",
    calls: calls::CHANGES,
    errno: Errno::IO,
    manner: Manner::Fail,
    times: None,
    codes: ERROR,
};

macro_rules! kinds {
    ($($name:ident: $kind:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() -> Result<()> {
            meet(stringify!($name), &$kind).await
        })*
    };
}

kinds! {
    too_many_open_files_in_the_process: Kind { calls: calls::OPEN, errno: Errno::MFILE, ..LASTING };
    too_many_open_files_in_the_system: Kind { calls: calls::OPEN, errno: Errno::NFILE, ..LASTING };
    errors_of_the_device: LASTING;
    errors_of_the_device_without_syncs: Kind { durability: "os", ..LASTING };
    a_file_system_that_became_read_only: Kind { errno: Errno::ROFS, ..LASTING };
    rights_that_were_taken: Kind { calls: calls::OPEN | calls::RENAME | calls::REMOVE, errno: Errno::ACCESS, ..LASTING };
    what_is_not_permitted: Kind { errno: Errno::PERM, ..LASTING };
    a_quota_that_is_used_up: Kind { calls: calls::WRITE | calls::ALLOCATE, errno: Errno::DQUOT, codes: FULL, ..LASTING };
    no_memory_in_the_kernel: Kind { errno: Errno::NOMEM, ..LASTING };
    a_full_disk: Kind { calls: calls::WRITE | calls::ALLOCATE, errno: Errno::NOSPC, codes: FULL, ..LASTING };
    a_sync_that_fails_once: Kind { calls: calls::SYNC, times: Some(1), ..LASTING };
    syncs_that_fail: Kind { calls: calls::SYNC, ..LASTING };
    a_few_writes_that_fail: Kind { calls: calls::WRITE, times: Some(3), ..LASTING };
    a_few_writes_that_are_half_done: Kind { calls: calls::WRITE, manner: Manner::Torn, times: Some(3), ..LASTING };
    writes_that_are_half_done_without_syncs:
        Kind { durability: "os", calls: calls::WRITE, manner: Manner::Torn, times: Some(3), ..LASTING };
    files_that_cannot_be_renamed: Kind { calls: calls::RENAME | calls::SYNC, ..LASTING };
    short_writes: Kind { calls: calls::WRITE, manner: Manner::Short, codes: &[], ..LASTING };
    a_slow_disk: Kind { calls: calls::SYNC, manner: Manner::Slow(Duration::from_millis(30)), codes: &[], ..LASTING };
}

async fn meet(name: &str, kind: &Kind) -> Result<()> {
    let seed = Seed::of(name)?;
    let site = Site::new(kind.durability, seed).await?;
    let client = site.node.finder().alive().await?.client;
    let fault = Fault {
        calls: kind.calls,
        manner: kind.manner,
        errno: kind.errno.raw_os_error(),
        skip: seed.rng(99).random_range(0..8),
        times: kind.times,
    };
    if kind.codes.is_empty() {
        site.faults.set(fault)?;
        site.flows().await?;
        site.flows().await?;
        ensure!(site.faults.dealt()? > 0, "no call was dealt with");
        ensure!(get(&client, "/readyz").await?.0 == 200, "not ready");
        ensure!(metric(&client, "fnstream_store_failures_total").await? == 0, "a failure was counted");
        println!("{name}: {} calls; {} appends", site.faults.dealt()?, site.settle().await?);
        return Ok(());
    }
    for round in 0..2 {
        site.faults.set(fault)?;
        let begun = Instant::now();
        if kind.times.is_none() {
            let code = until_refused(&client).await?;
            ensure!(kind.codes.contains(&code), "refused with {code}");
            let (status, body) = get(&client, "/readyz").await?;
            ensure!(status == code.http_status() || status == 503, "/readyz answers {status}: {body}");
            ensure!(["FS-1501", "FS-1502", "FS-1507"].iter().any(|code| body.contains(code)), "{body}");
            ensure!(get(&client, "/healthz").await?.0 == 200, "the process does not live");
        } else {
            // Whoever meets it is refused, or is told of it later by its number.
            let met = async {
                while site.faults.dealt()? < u64::from(kind.times.unwrap_or_default()) {
                    until_accepted(&mut site.node.finder()).await?;
                }
                anyhow::Ok(())
            };
            fnstream_tests::within("the error to be met", met).await??;
        }
        let lasted = begun.elapsed();
        site.faults.lift()?;
        let lifted = Instant::now();
        until_accepted(&mut site.node.finder()).await?;
        let again = lifted.elapsed();
        site.flows().await?;
        // Functions commit again after a pause of their own.
        until_ready(&mut site.node.finder()).await?;
        println!("{name}, round {round}: an error for {lasted:?}, accepted again after {again:?}");
    }
    if kind.codes == ERROR {
        let failures = metric(&client, "fnstream_store_failures_total").await?;
        // A few writes may have been notes of the database's end, which do not matter.
        ensure!(failures > 0 || kind.times.is_some(), "no failure was counted");
        ensure!(
            metric(&client, "fnstream_store_recoveries_total").await? >= failures,
            "fewer recoveries than failures"
        );
        ensure!(metric(&client, "fnstream_store_recovering").await? == 0, "still recovering");
    }
    println!("{name}: {} appends answered, none lost, none repeated", site.settle().await?);
    Ok(())
}
