// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Stores as JavaScript knows them: each with the cache of the Rust SDK, which has no line of JavaScript between a record and its state.
//!
//! A store is a number. A key comes in two parts, a prefix as binary text and the rest as bytes or text. Whoever writes says in which
//! turn, which is the number of the record in process: what a record wrote can be undone.

use std::cell::RefCell;
use std::rc::Rc;

use rquickjs::prelude::Func;
use rquickjs::{Array, Ctx, Object, Result, String as Text};

use super::args::{Answer, Args, Called, Native, function};
use super::{binary, new_bytes, refused_as, unbinary};
use crate::bindings::functionstream::packed::state;
use crate::boundary::{Error, Host, reason};
use crate::cache::CachedStore;

thread_local! {
    static STORES: RefCell<Vec<Open>> = const { RefCell::new(Vec::new()) };
}

/// A store that is open.
struct Open {
    cached: CachedStore,
    /// The turn that wrote last.
    turn: i64,
}

impl Open {
    /// The cache, for a write of that turn.
    fn writing(&mut self, turn: i64) -> &CachedStore {
        if self.turn != turn {
            self.turn = turn;
            self.cached.begin();
        }
        &self.cached
    }
}

type Outcome<R> = std::result::Result<R, Error>;

fn with<R>(store: i64, run: impl FnOnce(&mut Open) -> R) -> R {
    STORES.with_borrow_mut(|stores| run(&mut stores[store as usize]))
}

/// Gives `run` the key of the arguments 1 and 2; short ones without memory of their own. Answers null if there is none: then it is to be
/// given as bytes.
fn with_key(args: &Args<'_>, run: impl FnOnce(&[u8]) -> Called) -> Called {
    let (Some(prefix), text, bytes) = (args.text(1)?, args.text(2)?, args.bytes(2)?) else { return Ok(Answer::Null) };
    let key = match (&text, bytes) {
        (Some(text), _) if std::str::from_utf8(text).is_ok() => &text[..],
        (None, Some(bytes)) => bytes,
        _ => return Ok(Answer::Null),
    };
    let mut short = [0; 128];
    let len = prefix.len() + key.len();
    if prefix.is_ascii() && len <= short.len() {
        short[..prefix.len()].copy_from_slice(&prefix);
        short[prefix.len()..len].copy_from_slice(key);
        return run(&short[..len]);
    }
    let mut full: Vec<u8> = String::from_utf8_lossy(&prefix).chars().map(|byte| byte as u32 as u8).collect();
    full.extend_from_slice(key);
    run(&full)
}

/// The value of a key as new bytes, or undefined.
struct Get;

impl Native for Get {
    const PARAMETERS: usize = 3;

    fn call(args: &Args<'_>) -> Called {
        with_key(args, |key| {
            with(args.integer(0), |open| {
                open.cached.with(key, |value| value.map_or(Ok(Answer::Undefined), |value| args.new_bytes(value)))?
            })
        })
    }
}

/// Gives `write` the key and the value, which is the argument 3, bytes or text. Answers null if it is something else.
fn write(args: &Args<'_>, write: impl FnOnce(&CachedStore, &[u8], &[u8]) -> Outcome<()>) -> Called {
    let (text, bytes) = (args.text(3)?, args.bytes(3)?);
    let value = match (&text, bytes) {
        (Some(text), _) if std::str::from_utf8(text).is_ok() => &text[..],
        (None, Some(bytes)) => bytes,
        _ => return Ok(Answer::Null),
    };
    with_key(args, |key| {
        with(args.integer(0), |open| write(open.writing(args.integer(4)), key, value))?;
        Ok(Answer::Bool(true))
    })
}

struct Put;

impl Native for Put {
    const PARAMETERS: usize = 5;

    fn call(args: &Args<'_>) -> Called {
        write(args, |cached, key, value| cached.set(key, Some(value)))
    }
}

struct Merge;

impl Native for Merge {
    const PARAMETERS: usize = 5;

    fn call(args: &Args<'_>) -> Called {
        write(args, CachedStore::merge)
    }
}

/// Removes a key. The turn is the argument 3.
struct Delete;

impl Native for Delete {
    const PARAMETERS: usize = 4;

    fn call(args: &Args<'_>) -> Called {
        with_key(args, |key| {
            with(args.integer(0), |open| open.writing(args.integer(3)).set(key, None))?;
            Ok(Answer::Bool(true))
        })
    }
}

/// Adds the functions.
pub(super) fn states<'js>(ctx: &Ctx<'js>, object: &Object<'js>) -> Result<()> {
    object.set("get", function::<Get>(ctx)?)?;
    object.set("put", function::<Put>(ctx)?)?;
    object.set("merge", function::<Merge>(ctx)?)?;
    object.set("delete", function::<Delete>(ctx)?)?;
    object.set("open", Func::from(|ctx: Ctx<'js>, name: String| told(&ctx, open(&name))))?;
    object.set(
        "deleteRange",
        Func::from(|ctx: Ctx<'js>, store: u32, start: Text<'js>, end: Text<'js>, turn: f64| {
            let (start, end) = (unbinary(&start)?, unbinary(&end)?);
            told(&ctx, with(store.into(), |open| open.writing(turn as i64).delete_range(&start, &end)))
        }),
    )?;
    object.set("page", Func::from(page))?;
    object.set(
        "isStale",
        Func::from(|store: u32, version: f64, start: Text<'js>| -> Result<bool> {
            let start = unbinary(&start)?;
            Ok(with(store.into(), |open| open.cached.is_stale(version as u64, &start)))
        }),
    )?;
    object.set(
        "flush",
        Func::from(|ctx: Ctx<'js>, store: u32| told(&ctx, with(store.into(), |open| open.cached.flush()))),
    )?;
    object.set(
        "undo",
        Func::from(|store: u32, turn: f64| with(store.into(), |open| open.turn != turn as i64 || open.cached.undo())),
    )
}

fn told<R>(ctx: &Ctx<'_>, outcome: Outcome<R>) -> Result<R> {
    outcome.map_err(|error| refused_as(ctx, &error))
}

fn open(name: &str) -> Outcome<usize> {
    let handle = state::open(name).map_err(|error| Error::new(reason(error)))?;
    STORES.with_borrow_mut(|stores| {
        stores.push(Open { cached: CachedStore::new(Rc::new(Host), handle), turn: 0 });
        Ok(stores.len() - 1)
    })
}

/// A page of a range: `pairs` of keys as binary text with values as bytes, the start of the `next`, and the `version` for isStale.
fn page<'js>(ctx: Ctx<'js>, store: u32, start: Text<'js>, end: Text<'js>, most: u32) -> Result<Object<'js>> {
    let (start, end) = (unbinary(&start)?, unbinary(&end)?);
    let ((pairs, next), version) = told(&ctx, with(store.into(), |open| open.cached.page(&start, &end, most)))?;
    let list = Array::new(ctx.clone())?;
    for (at, (key, value)) in pairs.into_iter().enumerate() {
        let pair = Array::new(ctx.clone())?;
        pair.set(0, binary(&ctx, &key)?)?;
        pair.set(1, new_bytes(&ctx, value)?)?;
        list.set(at, pair)?;
    }
    let object = Object::new(ctx.clone())?;
    object.set("pairs", list)?;
    object.set("version", version as f64)?;
    if let Some(next) = next {
        object.set("next", binary(&ctx, &next)?)?;
    }
    Ok(object)
}
