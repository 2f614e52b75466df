// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What a function reaches outside itself: the host's interfaces, or a test's memory in their place.

use crate::TimeDomain;

/// Pairs in key order, and where the next page starts.
pub(crate) type Page = (Vec<(Vec<u8>, Vec<u8>)>, Option<Vec<u8>>);

/// The host. Keys are keys within a store, in the form that the world's documentation gives.
pub(crate) trait Boundary {
    fn emit_frame(&self, frame: &[u8]) -> Result<(), String>;
    fn emit_watermark(&self, target: u32, watermark: u64) -> Result<(), String>;
    fn set_timer(&self, domain: TimeDomain, key: &[u8], at: i64) -> Result<(), String>;
    fn delete_timer(&self, domain: TimeDomain, key: &[u8]) -> Result<(), String>;
    fn open(&self, name: &str) -> Result<u32, String>;
    fn get(&self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
    /// Applies an op list.
    fn write(&self, store: u32, ops: &[u8]) -> Result<(), String>;
    fn scan(&self, store: u32, start: &[u8], end: Option<&[u8]>, max_bytes: u32) -> Result<Page, String>;
}
