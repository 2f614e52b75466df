// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The memory that one process may use, divided among those who use it in amounts that others decide.
//!
//! A limit of each request, answer or function says nothing about their sum, and it is the sum that ends a process. So
//! whoever keeps bytes that a client or a function asked for takes them from a [`Part`] first, and gives them back by dropping
//! what it [`Held`]:
//!
//! ```
//! use fnstream_core::budget::Budget;
//!
//! let budget = Budget::new(2 << 30);
//! let mut body = budget.bodies.try_take(1 << 20)?; // at once, or FS-1708
//! body.try_grow(4096)?;
//! assert_eq!(budget.bodies.used(), (1 << 20) + 4096);
//! drop(body);
//! assert_eq!(budget.bodies.used(), 0);
//! # Ok::<(), fnstream_core::Error>(())
//! ```
//!
//! Who would rather wait than be refused awaits [`Part::take`], or is woken ([`Part::wait`]).
//!
//! Requests' bodies, answers, results of calls, lists, compiling and what is small are taken so. The part of functions is shared out
//! by [`guests`].
//!
//! Parts do not lend to each other: a flood of requests cannot take what functions need. The shares are in [`Budget::new`].
//!
//! Compiling has a least share that is large: the compiler of Go makes no artifact of less than 3 MB, and such a one takes 105 to
//! 145 MiB to compile, for a few seconds. It could borrow that from the functions instead, of which idle ones give back. Then they
//! would have more of a small budget for most of the time; but to create one function would end the calls of others, a function
//! that keeps what it has would let nobody be created, and a server that starts with a cold cache would have its functions wait
//! for each other. So compiling keeps its share, and a server that is too small for it does not start.
//!
//! What is taken is what was asked for, not what the allocator makes of it; the total should therefore be somewhat less than
//! what the process may really have.

pub mod guests;
mod part;
#[cfg(test)]
mod tests;

pub use part::{Held, Part, Taking, Waiting};

/// The least that a server can be given: three quarters of a container of 512 MiB.
pub const LEAST: usize = 384 << 20;

/// What the program itself needs: its code, threads, connections and what is taken nowhere.
const PROGRAM: usize = 80 << 20;

/// A share of something: in percent, and the least in bytes.
#[derive(Clone, Copy, PartialEq)]
struct Share(usize, usize);

/// Of what the server's own needs leave: see the module for the least.
const COMPILING: Share = Share(15, 160 << 20);

// Of what compiling leaves; together they are 100 percent. With little memory the least of the others goes before the guests'
// percent, so that events of 8 MiB are taken, and those of 16 MiB given.
const GUESTS: Share = Share(59, 0);
const SMALL: Share = Share(6, 4 << 20);
const BODIES: Share = Share(12, 24 << 20);
const ANSWERS: Share = Share(11, 17 << 20);
const RESULTS: Share = Share(6, 4 << 20);
const LISTS: Share = Share(6, 6 << 20);

const OTHERS: [Share; 5] = [SMALL, BODIES, ANSWERS, RESULTS, LISTS];

impl Share {
    fn of(self, rest: usize) -> usize {
        let Share(percent, least) = self;
        (rest / 100 * percent).max(least)
    }
}

/// The budget of a process: one part for each use. Clones are the same budget.
#[derive(Debug, Clone)]
pub struct Budget {
    total: usize,
    cache: usize,
    /// Memories and tables of functions' instances, shared out by [`guests::Guests`].
    pub guests: Part,
    /// The processes that compile artifacts.
    pub compiling: Part,
    /// Bodies, answers and heads that are small, so that these never wait for one that is not.
    pub small: Part,
    /// Requests' bodies, from when they are read until what they ask for is done.
    pub bodies: Part,
    /// Answers that their clients have not read yet.
    pub answers: Part,
    /// What functions answer to requests of a user's own form.
    pub results: Part,
    /// Lists that are gathered: dead letters, keys of state, functions.
    pub lists: Part,
}

impl Budget {
    /// A budget of that many bytes; less than [`LEAST`] is taken for [`LEAST`].
    pub fn new(total: usize) -> Self {
        let total = total.max(LEAST);
        let cache = ((total - COMPILING.1) / 32).clamp(8 << 20, 64 << 20);
        let compiling = COMPILING.of(total - own(cache));
        let rest = total - own(cache) - compiling;
        let guests = rest - OTHERS.iter().map(|share| share.of(rest)).sum::<usize>();
        Budget::of(total, cache, |share| match share {
            COMPILING => compiling,
            GUESTS => guests,
            other => other.of(rest),
        })
    }

    /// A budget that refuses nothing, for programs that embed a part of the server and watch themselves.
    pub fn unbounded() -> Self {
        Budget::of(usize::MAX, 64 << 20, |_| usize::MAX)
    }

    fn of(total: usize, cache: usize, share: impl Fn(Share) -> usize) -> Self {
        Budget {
            total,
            cache,
            guests: Part::new("guests", "functions' memories", share(GUESTS)),
            compiling: Part::new("compiling", "compiling", share(COMPILING)),
            small: Part::new("small", "small requests and answers", share(SMALL)),
            bodies: Part::new("bodies", "requests' bodies", share(BODIES)),
            answers: Part::new("answers", "answers that are not read yet", share(ANSWERS)),
            results: Part::new("results", "results of calls", share(RESULTS)),
            lists: Part::new("lists", "lists", share(LISTS)),
        }
    }

    /// All of it, in bytes.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The size of each of the server's caches and buffers: blocks of the store, its write buffers, committed state not yet
    /// applied, state that was read.
    pub fn cache(&self) -> usize {
        self.cache
    }

    /// What is set aside for the program, its caches and its buffers. Nobody takes it piece by piece.
    pub fn own(&self) -> usize {
        own(self.cache)
    }

    /// The parts, in the order in which they are shown.
    pub fn parts(&self) -> [&Part; 7] {
        [&self.guests, &self.compiling, &self.small, &self.bodies, &self.answers, &self.results, &self.lists]
    }
}

/// Four caches, and the write buffers once more while they are written out.
fn own(cache: usize) -> usize {
    PROGRAM + 5 * cache
}

fn short(what: &str, limit: usize, used: usize, asked: usize) -> String {
    format!(
        "the server's memory for {what} is used up: of {limit} bytes {used} are taken, and {asked} more were asked for"
    )
}
