// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The workloads as Rust closures that run in the same engine, where WebAssembly functions otherwise run.

use std::sync::Arc;

use bytes::Bytes;
use fnstream_core::delta::Write;
use fnstream_core::runtime::{Host, Program};
use fnstream_core::state_key::{put_simple, store_prefix};
use fnstream_core::{Error, ErrorCode, Result};
use fnstream_engine::native::NativeProgram;
use fnstream_frame::RecordRef;
use serde::{Deserialize, Serialize};

use super::WorkloadArg;

pub(super) fn program(workload: WorkloadArg) -> Result<Arc<dyn Program>> {
    match workload {
        WorkloadArg::PassThrough => Ok(NativeProgram::new(|| Box::new(|record, host| host.emit(record.on(0))))),
        WorkloadArg::Money => Ok(NativeProgram::new(|| Box::new(money))),
        WorkloadArg::KeyedCount => {
            let prefix = store_prefix("counts")?;
            Ok(NativeProgram::new(move || {
                let prefix = prefix.clone();
                let mut key = Vec::new();
                Box::new(move |record, host| count(&prefix, &mut key, record, host))
            }))
        }
    }
}

/// The record of the example `basic`.
#[derive(Serialize, Deserialize)]
struct Person {
    name: String,
    money: i64,
    #[serde(default)]
    expected: i64,
}

fn money(record: RecordRef<'_>, host: &mut dyn Host) -> Result<()> {
    let failed = |e: serde_json::Error| Error::new(ErrorCode::GuestError, e.to_string());
    let mut person: Person = serde_json::from_slice(record.bytes()).map_err(failed)?;
    person.money += 1;
    let value = serde_json::to_vec(&person).map_err(failed)?;
    host.emit(RecordRef { value: Some(&value), ..record }.on(0))
}

fn count(prefix: &[u8], key: &mut Vec<u8>, record: RecordRef<'_>, host: &mut dyn Host) -> Result<()> {
    key.clear();
    key.extend_from_slice(prefix);
    put_simple(key, record.key.unwrap_or_default());
    let stored = host.get(key)?;
    let before = stored.as_deref().and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let after = (before + 1).to_le_bytes();
    host.write(key, Write::Put(Bytes::copy_from_slice(&after)))?;
    host.emit(RecordRef { value: Some(&after), ..record }.on(0))
}
