// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The register of functions, which all processes of the group share.
//!
//! A function with its history is one record. What the cluster keeps of a function that was removed (its internal topics) is noted in
//! the same change, and goes by the hand of whatever process is there, however often that takes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use fnstream_core::clock::Clock;
use fnstream_core::epoch::FunctionId;
use fnstream_core::metadata::{Metadata, Registered, Revision};
use fnstream_core::spec::{DesiredState, FunctionEntry, FunctionSpec};
use fnstream_core::topic::TopicRef;
use fnstream_core::waker::Waker;
use fnstream_core::{Error, ErrorCode, Result};
use parking_lot::RwLockReadGuard;
use serde::{Deserialize, Serialize};

use crate::log::{Log, Row};
use crate::table::{Change, Rows, Table};

/// The first byte of each value.
const VERSION: u8 = 1;
/// What the keys begin with of functions, and of those that were removed.
const FUNCTION: &str = "function/";
const REMOVED: &str = "removed/";
/// The key of the last id that was given.
const LAST_ID: &str = "last-id";
/// The key of what tells this register from others that had the topic before.
const INCARNATION: &str = "incarnation";

/// See the module.
pub struct Register {
    table: Table<Functions>,
    clock: Arc<dyn Clock>,
}

/// A function that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its name, which another function may have by now.
    pub name: String,
    /// The topics and patterns that it read.
    pub reads: Vec<TopicRef>,
}

#[derive(Default)]
struct Functions {
    functions: BTreeMap<String, Registered>,
    /// Functions of which the cluster may keep something yet, by their ids.
    removed: BTreeMap<u32, Removed>,
    last_id: u32,
    incarnation: String,
    /// Records that are not understood here, with the reason.
    damaged: BTreeMap<String, String>,
}

impl Rows for Functions {
    fn take(&mut self, row: Row<'_>) {
        let key = String::from_utf8_lossy(row.key).into_owned();
        self.damaged.remove(&key);
        if let Err(why) = self.put(&key, row.value) {
            tracing::error!(key, why, "a record of the register of functions is not understood");
            self.damaged.insert(key, why);
        }
    }
}

impl Functions {
    fn put(&mut self, key: &str, value: Option<&[u8]>) -> std::result::Result<(), String> {
        let value = match value.map(<[u8]>::split_first) {
            Some(Some((&VERSION, rest))) => Some(rest),
            None => None,
            _ => return Err("its version is not known".to_owned()),
        };
        let json = |e: serde_json::Error| e.to_string();
        if let Some(name) = key.strip_prefix(FUNCTION) {
            match value {
                Some(value) => {
                    let registered: Registered = serde_json::from_slice(value).map_err(json)?;
                    self.functions.insert(name.to_owned(), registered);
                }
                None => _ = self.functions.remove(name),
            }
        } else if let Some(id) = key.strip_prefix(REMOVED) {
            let id: u32 = id.parse().map_err(|_| "its id is no number".to_owned())?;
            match value {
                Some(removed) => _ = self.removed.insert(id, serde_json::from_slice(removed).map_err(json)?),
                None => _ = self.removed.remove(&id),
            }
        } else if key == LAST_ID {
            self.last_id = serde_json::from_slice(value.unwrap_or(b"0")).map_err(json)?;
        } else if key == INCARNATION {
            self.incarnation = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        } else {
            return Err("nothing is known of such keys".to_owned());
        }
        Ok(())
    }

    /// Refuses to go on with a part of the register.
    fn whole(&self) -> Result<&Self> {
        match self.damaged.first_key_value() {
            None => Ok(self),
            Some((key, why)) => {
                Err(Error::new(ErrorCode::DataCorrupt, format!("the register of functions, record '{key}': {why}")))
            }
        }
    }
}

impl Register {
    /// The register of a group, which is in that log, for the process of that name. Blocks.
    pub fn open(log: Arc<dyn Log>, process: &str, clock: Arc<dyn Clock>) -> Result<Register> {
        let table = Table::open(log, process, Functions::default())?;
        if table.rows().incarnation.is_empty() {
            table.change(|functions| {
                let is_new = functions.whole()?.incarnation.is_empty();
                let key = INCARNATION.as_bytes().to_vec();
                let drawn = is_new.then(random).transpose()?.map(|drawn| [&[VERSION], drawn.as_bytes()].concat());
                Ok((drawn.map(|value| (key, Some(value))).into_iter().collect(), ()))
            })?;
        }
        Ok(Register { table, clock })
    }

    /// What tells this register, and with it the ids of its functions, from all others: eight hexadecimal digits.
    pub fn incarnation(&self) -> String {
        self.table.rows().incarnation.clone()
    }

    /// An id that nobody has. Blocks.
    pub fn take_id(&self) -> Result<FunctionId> {
        self.table.change(|functions| {
            let id = functions.whole()?.last_id + 1;
            Ok((vec![last_id(id)?], FunctionId(id)))
        })
    }

    /// The function of that id, or one that was removed and of which something may be left: its name.
    pub fn name_of(&self, id: FunctionId) -> Option<String> {
        let functions = self.table.rows();
        let found = functions.functions.values().find(|of| of.entry.id == id).map(|of| of.entry.spec.name.clone());
        found.or_else(|| functions.removed.get(&id.0).map(|of| of.name.clone()))
    }

    /// Whether a function of that name is there.
    pub fn has(&self, name: &str) -> bool {
        self.table.rows().functions.contains_key(name)
    }

    /// Those that were removed and of which something may be left.
    pub fn removed(&self) -> BTreeMap<FunctionId, Removed> {
        self.table.rows().removed.iter().map(|(id, removed)| (FunctionId(*id), removed.clone())).collect()
    }

    /// Removes what the cluster keeps of functions that were removed; `remove` does it for one, or says that it is too early. Blocks.
    pub fn tidy(&self, mut remove: impl FnMut(FunctionId, &Removed) -> Result<bool>) -> Result<()> {
        self.table.catch_up()?;
        for (id, removed) in self.removed() {
            if !remove(id, &removed)? {
                continue;
            }
            self.table.change(|functions| {
                let is_there = functions.removed.contains_key(&id.0);
                Ok((is_there.then(|| (format!("{REMOVED}{}", id.0).into_bytes(), None)).into_iter().collect(), ()))
            })?;
        }
        Ok(())
    }

    /// What all processes have made of the register by now: a caller may have asked another one before. While the cluster is away, what
    /// is known here.
    fn latest(&self) -> RwLockReadGuard<'_, Functions> {
        if let Err(error) = self.table.catch_up() {
            tracing::debug!(%error, "the register is read as it was known last");
        }
        self.table.rows()
    }

    /// Puts what a change makes of a function that is at that revision.
    fn replace(
        &self,
        name: &str,
        based_on: u64,
        mut change: impl FnMut(&Registered, i64) -> Result<Registered>,
    ) -> Result<FunctionEntry> {
        let now_ms = self.clock.unix_ms();
        self.table.change(|functions| {
            let found = Registered::expect(functions.whole()?.functions.get(name), name, based_on)?;
            let next = change(found, now_ms)?;
            Ok((vec![put(&next)?], next.entry))
        })
    }
}

impl Metadata for Register {
    fn list(&self) -> Result<Vec<FunctionEntry>> {
        Ok(self.table.rows().whole()?.functions.values().map(|of| of.entry.clone()).collect())
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<FunctionEntry>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let functions = self.latest();
        let behind = functions.whole()?.functions.range::<str, _>((from, Bound::Unbounded));
        Ok(behind.take(limit).map(|(_, of)| of.entry.clone()).collect())
    }

    fn get(&self, name: &str) -> Result<Option<FunctionEntry>> {
        Ok(self.latest().whole()?.functions.get(name).map(|of| of.entry.clone()))
    }

    fn revisions(&self, name: &str) -> Result<Vec<Revision>> {
        // Whoever asks has looked the function up.
        Ok(self.table.rows().whole()?.functions.get(name).map(|of| of.history.clone()).unwrap_or_default())
    }

    fn create_from(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        fork: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        spec.validate()?;
        let now_ms = self.clock.unix_ms();
        self.table.change(|functions| {
            if functions.whole()?.functions.contains_key(&spec.name) {
                return Err(Error::new(ErrorCode::FunctionExists, format!("function '{}' exists", spec.name)));
            }
            let id = fork.unwrap_or(FunctionId(functions.last_id + 1));
            let made = Registered::new(spec.clone(), desired, id, now_ms);
            Ok((vec![put(&made)?, last_id(functions.last_id.max(id.0))?], made.entry))
        })
    }

    fn update(
        &self,
        spec: FunctionSpec,
        desired: DesiredState,
        based_on: u64,
        snapshot: Option<FunctionId>,
    ) -> Result<FunctionEntry> {
        spec.validate()?;
        self.replace(&spec.name, based_on, |of, now_ms| of.updated(spec.clone(), desired, snapshot, now_ms))
    }

    fn switch(&self, spec: FunctionSpec, based_on: u64, to: FunctionId) -> Result<FunctionEntry> {
        spec.validate()?;
        self.replace(&spec.name, based_on, |of, now_ms| Ok(of.switched(spec.clone(), to, now_ms)))
    }

    fn remove(&self, name: &str, based_on: u64) -> Result<()> {
        self.table.change(|functions| {
            let found = Registered::expect(functions.whole()?.functions.get(name), name, based_on)?;
            let mut changes = vec![(format!("{FUNCTION}{name}").into_bytes(), None)];
            let past = found.history.iter().filter_map(|revision| revision.state);
            let removed = encode(&Removed { name: name.to_owned(), reads: found.entry.spec.reads().collect() })?;
            for id in past.chain([found.entry.id]) {
                changes.push((format!("{REMOVED}{}", id.0).into_bytes(), Some(removed.clone())));
            }
            Ok((changes, ()))
        })
    }

    fn watch(&self, waker: Waker) {
        self.table.watch(waker);
    }
}

impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Register").field("log", &self.table.log().name()).finish_non_exhaustive()
    }
}

fn random() -> Result<String> {
    let mut random = [0; 4];
    let filled = getrandom::fill(&mut random);
    filled.map_err(|e| fnstream_core::error::internal(format!("no random number for a register: {e}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn put(registered: &Registered) -> Result<Change> {
    let key = format!("{FUNCTION}{}", registered.entry.spec.name).into_bytes();
    Ok((key, Some(encode(registered)?)))
}

fn last_id(id: u32) -> Result<Change> {
    Ok((LAST_ID.as_bytes().to_vec(), Some(encode(&id)?)))
}

fn encode(what: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut out = vec![VERSION];
    serde_json::to_writer(&mut out, what)
        .map_err(|e| fnstream_core::error::internal(format!("a record of the register: {e}")))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use fnstream_core::record::Position;

    use super::*;

    fn row<'a>(key: &'a str, value: Option<&'a [u8]>) -> Row<'a> {
        Row { position: Position(0), timestamp: 0, key: key.as_bytes(), value }
    }

    /// The bytes of version 1, as every later version must read them.
    #[test]
    fn version_1_stays_readable() {
        let spec = FunctionSpec { name: "f".into(), artifact: "ab".repeat(32), ..FunctionSpec::default() };
        let made = Registered::new(spec, DesiredState::Running, FunctionId(7), 5);
        let (key, value) = put(&made).unwrap();
        let mut functions = Functions::default();
        functions.take(row(std::str::from_utf8(&key).unwrap(), value.as_deref()));
        functions.take(row("last-id", Some(b"\x0112")));
        functions.take(row("removed/3", Some(b"\x01{\"name\":\"gone\",\"reads\":[\"a\",\"b?group_id=g\"]}")));
        assert_eq!(functions.whole().unwrap().functions["f"], made);
        let reads = ["a", "b?group_id=g"].map(|of| of.parse().unwrap()).to_vec();
        let gone = Removed { name: "gone".into(), reads };
        assert_eq!((functions.last_id, functions.removed.get(&3)), (12, Some(&gone)));
        functions.take(row("removed/3", None));
        functions.take(row("function/f", None));
        assert!(functions.removed.is_empty() && functions.functions.is_empty());
    }

    #[test]
    fn a_record_that_is_not_understood_is_told_until_it_is_replaced() {
        for (key, value) in
            [("function/f", &b"\x01{"[..]), ("function/f", b"\x02{}"), ("x", b"\x01"), ("removed/x", b"\x01")]
        {
            let mut functions = Functions::default();
            functions.take(row(key, Some(value)));
            let error = functions.whole().err().unwrap();
            assert_eq!(error.code, ErrorCode::DataCorrupt, "{key}");
            if key.starts_with(FUNCTION) {
                functions.take(row(key, None));
                assert!(functions.whole().is_ok(), "{key}");
            }
        }
    }
}
