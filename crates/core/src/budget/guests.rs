// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The memory of all functions' instances together: who gets some when there is no more, and who gives way.
//!
//! Each task has an [`Account`]. Whatever its instance's memories and tables grow by is taken from the sum first. A limit of one
//! instance says nothing about that, and most limits are never reached, so what is shared out is what is really asked for.
//!
//! # When the sum is used up
//!
//! ```text
//! somebody asks, and w is what it would have then
//!   1. those who are idle are asked to give back, the longest idle first    (small ones only if w is modest)
//!   2. if that is not enough, the largest that has 2 w or more gives way     (its call ends, it starts again after a wait)
//!   3. if there is none, small idle ones are asked after all, if they have what is missing
//!   4. otherwise nobody gives way
//! ```
//!
//! Whoever asked is refused all the same ([`ErrorCode::GuestMemoryShort`]) and tries again after a wait: a call cannot wait for
//! others to end theirs. Until then it has a *claim* to w: what becomes free is kept for it, and goes to nobody who needs more, or as
//! much and has asked later. When there is enough it is woken. What somebody needs is what it was refused last, so one that needs much
//! does not pass for one that needs little while it starts again.
//!
//! One that wants more than there is for all would be refused if it were alone, too: that is its own failure
//! ([`ErrorCode::GuestOutOfMemory`]). It has no claim, and nobody gives way to it.
//!
//! So of n instances that all want something at once, each gets what it asks for up to `sum / 2n`: if one with w were refused for
//! good, all others would have less than 2 w, and together less than the sum. Whoever is refused for good is itself among the
//! largest. A neighbour that takes much can hold up others that take much, and none that takes little.
//!
//! *Small* is what has less than 2 MiB, *modest* what wants at most a 64th of the sum: those who take much are not to close idle
//! instances that give them next to nothing. Idle instances are also asked before the sum is used up, so that few are refused: from
//! three quarters on, and small ones from fifteen sixteenths on. If nothing but small idle instances keeps a large one from what it
//! asked for, what they have is not next to nothing: without it the large one would wait for ever.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{Held, Part};
use crate::waker::Waker;
use crate::{Error, ErrorCode, Result};

/// Instances below this are small: what they would give back does not matter, but for others that want little.
pub const SMALL_GUEST: usize = 2 << 20;

/// Who wants no more than that part of the sum is modest.
const MODEST: usize = 64;

/// How many times as large somebody must be to give way.
const TIMES: usize = 2;

/// The sum. Clones are the same one.
#[derive(Clone)]
pub struct Guests(Arc<Ledger>);

struct Ledger {
    part: Part,
    state: Mutex<State>,
    /// The number of the next who falls idle; 0 is nobody's.
    next_idle: AtomicU64,
}

struct State {
    held: Held,
    accounts: BTreeMap<u64, Arc<Entry>>,
    next: u64,
    /// The last ticket of a claim.
    ticket: u64,
}

/// What the ledger knows of an account. Changed below its lock, but for what the task itself says; read without it.
struct Entry {
    bytes: AtomicUsize,
    /// All that it would have if it got what it was refused; 0 if it has no claim.
    claim: AtomicUsize,
    /// Its place among equal claims.
    ticket: AtomicU64,
    /// There is what it claims.
    granted: AtomicBool,
    /// Its place among those who are idle; 0 if it is not.
    idle: AtomicU64,
    asked: AtomicBool,
    revoked: AtomicBool,
    waker: Waker,
}

impl Entry {
    fn new(waker: Waker) -> Self {
        let (bytes, claim, ticket) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
        let (idle, asked, revoked) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Entry { bytes, claim, ticket, granted: AtomicBool::new(false), idle, asked, revoked, waker }
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn claim(&self) -> usize {
        self.claim.load(Ordering::Relaxed)
    }

    /// What is missing to its claim.
    fn missing(&self) -> usize {
        self.claim().saturating_sub(self.bytes())
    }

    fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) != 0
    }

    /// What it has is on its way back. One that was asked and has found something to do since gives nothing back.
    fn is_coming(&self) -> bool {
        (self.asked.load(Ordering::Relaxed) && self.is_idle()) || self.revoked.load(Ordering::Relaxed)
    }

    /// Claims so much from now on; a former claim keeps its place.
    fn claims(&self, bytes: usize, ticket: u64) {
        if self.claim() == 0 {
            self.ticket.store(ticket, Ordering::Relaxed);
        }
        self.claim.store(bytes, Ordering::Relaxed);
        self.granted.store(false, Ordering::Relaxed);
    }

    fn claims_nothing(&self) {
        self.claim.store(0, Ordering::Relaxed);
        self.granted.store(false, Ordering::Relaxed);
    }
}

impl Guests {
    /// All of a part.
    pub fn new(part: Part) -> Self {
        let held = part.nothing();
        let state = Mutex::new(State { held, accounts: BTreeMap::new(), next: 0, ticket: 0 });
        Guests(Arc::new(Ledger { part, state, next_idle: AtomicU64::new(1) }))
    }

    /// An account for a task's instances, with nothing in it. The waker is called when it is asked to give back, or has to.
    pub fn open(&self, waker: Waker) -> Account {
        let entry = Arc::new(Entry::new(waker));
        let mut state = self.0.state.lock();
        let number = state.next;
        state.next += 1;
        state.accounts.insert(number, entry.clone());
        drop(state);
        Account(Arc::new(Owner { guests: self.clone(), number, entry }))
    }

    /// The most that all may have together.
    pub fn limit(&self) -> usize {
        self.0.part.limit()
    }
}

impl Default for Guests {
    /// A sum that is never used up, for programs that watch themselves.
    fn default() -> Self {
        Guests::new(Part::new("guests", "functions' memories", usize::MAX))
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guests").field(&self.0.part).finish()
    }
}

/// The account of one task. Clones are the same account; it is closed when the last of them is dropped.
#[derive(Clone)]
pub struct Account(Arc<Owner>);

struct Owner {
    guests: Guests,
    number: u64,
    entry: Arc<Entry>,
}

impl Account {
    /// Takes that many bytes more. Refused with [`ErrorCode::GuestMemoryShort`] if others have them, and with
    /// [`ErrorCode::GuestOutOfMemory`] if it would be more than there is for all: no wait would help.
    pub fn grow(&self, more: usize) -> Result<()> {
        let Owner { guests, entry, .. } = &*self.0;
        let mut woken = Vec::new();
        let grown = guests.0.state.lock().grow(entry, more, guests.limit(), &mut woken);
        wake(&woken);
        grown
    }

    /// Gives back that many bytes.
    pub fn give_back(&self, bytes: usize) {
        let Owner { guests, entry, .. } = &*self.0;
        let left = entry.bytes().saturating_sub(bytes);
        let woken = {
            let mut state = guests.0.state.lock();
            entry.bytes.store(left, Ordering::Relaxed);
            if left == 0 {
                entry.revoked.store(false, Ordering::Relaxed);
                entry.asked.store(false, Ordering::Relaxed);
            }
            state.given_back(bytes, guests.limit())
        };
        wake(&woken);
    }

    /// Bytes that it has.
    pub fn bytes(&self) -> usize {
        self.0.entry.bytes()
    }

    /// The most that all accounts may have together.
    pub fn most(&self) -> usize {
        self.0.guests.limit()
    }

    /// The task has something to do.
    pub fn busy(&self) {
        let entry = &*self.0.entry;
        if entry.idle.load(Ordering::Relaxed) != 0 {
            entry.idle.store(0, Ordering::Relaxed);
            entry.asked.store(false, Ordering::Relaxed);
        }
    }

    /// The task has nothing to do and has committed all that it did: it could give back what it has.
    pub fn idle(&self) {
        let Owner { guests, entry, .. } = &*self.0;
        if entry.idle.load(Ordering::Relaxed) == 0 {
            entry.idle.store(guests.0.next_idle.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            self.content();
        }
    }

    /// Others need what it has, and it is idle.
    pub fn is_asked(&self) -> bool {
        self.0.entry.asked.load(Ordering::Relaxed)
    }

    /// It was refused something, and there is enough now.
    pub fn is_granted(&self) -> bool {
        self.0.entry.granted.load(Ordering::Relaxed)
    }

    /// It has to give way: `Err` says why. Cheap otherwise.
    pub fn check(&self) -> Result<()> {
        let Owner { guests, entry, .. } = &*self.0;
        if !entry.revoked.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(gives_way(entry, guests.limit()))
    }

    /// It has got on with what it has: a claim that it had is void.
    pub fn content(&self) {
        let Owner { guests, entry, .. } = &*self.0;
        if entry.claim() == 0 {
            return;
        }
        let woken = {
            let mut state = guests.0.state.lock();
            entry.claims_nothing();
            state.given_back(0, guests.limit())
        };
        wake(&woken);
    }
}

impl Default for Account {
    /// One of a sum that is never used up.
    fn default() -> Self {
        Guests::default().open(Waker::noop())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let woken = {
            let mut state = self.guests.0.state.lock();
            state.accounts.remove(&self.number);
            state.given_back(self.entry.bytes(), self.guests.limit())
        };
        wake(&woken);
    }
}

fn wake(entries: &[Arc<Entry>]) {
    entries.iter().for_each(|entry| entry.waker.wake());
}

impl State {
    /// See [`Account::grow`]; those who are to give back are put into `woken`.
    fn grow(&mut self, entry: &Arc<Entry>, more: usize, limit: usize, woken: &mut Vec<Arc<Entry>>) -> Result<()> {
        let had = entry.bytes();
        let wanted = had.saturating_add(more);
        if entry.revoked.load(Ordering::Relaxed) {
            return Err(gives_way(entry, limit));
        }
        if wanted > limit {
            // There will never be enough, so nothing is kept for it.
            entry.claims_nothing();
            woken.extend(self.given_back(0, limit));
            self.held.count_refusal();
            return Err(never(wanted, limit));
        }
        let is_modest = wanted <= limit / MODEST;
        let claimed = self.claimed(entry, wanted.max(entry.claim()));
        let free = (limit - self.held.bytes()).saturating_sub(claimed);
        if more <= free {
            self.held.try_grow(more)?;
            entry.bytes.store(wanted, Ordering::Relaxed);
            if entry.claim() <= wanted {
                entry.claims_nothing();
            }
            let used = self.held.bytes().saturating_add(claimed);
            self.ask_idle(entry, SMALL_GUEST, used.saturating_sub(limit / 4 * 3), woken);
            if is_modest {
                self.ask_idle(entry, 1, used.saturating_sub(limit / 16 * 15), woken);
            }
            return Ok(());
        }
        let least = if is_modest { 1 } else { SMALL_GUEST };
        let lacking = self.ask_idle(entry, least, more - free, woken);
        let covered = lacking == 0 || self.revoke(entry, wanted, woken) || self.ask_small(entry, lacking, woken);
        self.ticket += 1;
        entry.claims(wanted.max(entry.claim()), self.ticket);
        self.held.count_refusal();
        let used = self.held.bytes();
        let then = match covered {
            true => "others give way to it",
            false => "no other instance is so large that it would have to give way",
        };
        let why = format!(
            "the server's memory for functions is used up: of {limit} bytes {used} are taken and {claimed} promised, this \
             instance has {had} and asked for {more} more; {then}"
        );
        Err(Error::new(ErrorCode::GuestMemoryShort, why))
    }

    /// What is kept for others from somebody who needs that much.
    fn claimed(&self, own: &Arc<Entry>, need: usize) -> usize {
        let ticket = if own.claim() == 0 { u64::MAX } else { own.ticket.load(Ordering::Relaxed) };
        let goes_before = |other: &&Arc<Entry>| {
            other.claim() > 0 && (other.claim(), other.ticket.load(Ordering::Relaxed)) < (need, ticket)
        };
        self.accounts.values().filter(goes_before).fold(0, |sum: usize, other| sum.saturating_add(other.missing()))
    }

    /// So much is free again; answers those who have what they claim by that.
    fn given_back(&mut self, bytes: usize, limit: usize) -> Vec<Arc<Entry>> {
        let all = self.held.bytes();
        self.held.shrink_to(all.saturating_sub(bytes));
        let mut free = limit - self.held.bytes();
        let mut claims: Vec<_> = self.accounts.values().filter(|entry| entry.claim() > 0).cloned().collect();
        claims.sort_unstable_by_key(|entry| (entry.claim(), entry.ticket.load(Ordering::Relaxed)));
        claims.retain(|entry| match free.checked_sub(entry.missing()) {
            Some(rest) => {
                free = rest;
                !entry.granted.swap(true, Ordering::Relaxed)
            }
            None => {
                free = 0;
                false
            }
        });
        claims
    }

    /// Asks idle ones whatever they have, if that covers what is lacking; false if it does not.
    fn ask_small(&self, own: &Arc<Entry>, lacking: usize, woken: &mut Vec<Arc<Entry>>) -> bool {
        let others = self.accounts.values().filter(|entry| !Arc::ptr_eq(entry, own));
        let idle: usize = others.filter(|entry| entry.is_idle() && !entry.is_coming()).map(|entry| entry.bytes()).sum();
        idle >= lacking && self.ask(own, 1, lacking, woken) == 0
    }

    /// Asks idle ones that have at least `least` to give back so much, less what was asked back before; answers how much is missing
    /// then.
    fn ask_idle(&self, own: &Arc<Entry>, least: usize, lacking: usize, woken: &mut Vec<Arc<Entry>>) -> usize {
        if lacking == 0 {
            return 0;
        }
        let others = self.accounts.values().filter(|entry| !Arc::ptr_eq(entry, own));
        let coming = others.filter(|entry| entry.is_coming()).map(|entry| entry.bytes()).sum();
        self.ask(own, least, lacking.saturating_sub(coming), woken)
    }

    /// The same without regard to what was asked back before.
    fn ask(&self, own: &Arc<Entry>, least: usize, mut lacking: usize, woken: &mut Vec<Arc<Entry>>) -> usize {
        let others = self.accounts.values().filter(|entry| !Arc::ptr_eq(entry, own));
        let gives = |entry: &&Arc<Entry>| entry.is_idle() && !entry.is_coming() && entry.bytes() >= least;
        let mut idle: Vec<_> = others.filter(gives).cloned().collect();
        idle.sort_unstable_by_key(|entry| entry.idle.load(Ordering::Relaxed));
        for entry in idle {
            if lacking == 0 {
                break;
            }
            entry.asked.store(true, Ordering::Relaxed);
            lacking = lacking.saturating_sub(entry.bytes());
            woken.push(entry);
        }
        lacking
    }

    /// Has the largest one give way to somebody who would have that much; false if none is so large.
    fn revoke(&self, own: &Arc<Entry>, wanted: usize, woken: &mut Vec<Arc<Entry>>) -> bool {
        let others = self.accounts.values().filter(|entry| !Arc::ptr_eq(entry, own));
        // Idle ones have been asked.
        let others = others.filter(|entry| !entry.revoked.load(Ordering::Relaxed) && !entry.is_idle());
        let largest = others.max_by_key(|entry| entry.bytes()).filter(|entry| entry.bytes() / TIMES >= wanted);
        let Some(entry) = largest else { return false };
        entry.revoked.store(true, Ordering::Relaxed);
        entry.granted.store(false, Ordering::Relaxed);
        self.held.count_refusal();
        woken.push(entry.clone());
        true
    }
}

fn gives_way(entry: &Entry, limit: usize) -> Error {
    let had = entry.bytes();
    let why = format!(
        "the server's memory for functions, {limit} bytes, is used up: this instance has {had} and gives way to one that \
         asked for less than half of that"
    );
    Error::new(ErrorCode::GuestMemoryShort, why)
}

/// What is said of an instance that wants more than there is for all.
fn never(wanted: usize, limit: usize) -> Error {
    let why =
        format!("the instance asked for {wanted} bytes of memory in all, and the server has {limit} for all functions");
    Error::new(ErrorCode::GuestOutOfMemory, why)
}

#[cfg(test)]
mod tests;
