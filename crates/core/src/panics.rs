// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A panic as an event: caught where a unit of work ends, told with its place, counted.
//!
//! A panic is a bug of ours. Whoever runs work for others runs it through [`catch`], so that the bug costs that work and nothing
//! else: the caller drops whatever the work may have left half done, and says what becomes of it. A panic that nobody catches
//! here, in a handler of a request or in a thread of a library, is told by the process's hook, see [`tell_in_log`].
//!
//! ```
//! let caught = fnstream_core::panics::catch(|| -> u32 { panic!("as told") }).unwrap_err();
//! assert_eq!(caught.to_error().code.as_str(), "FS-1902");
//! ```

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorCode};

/// Panics of this process since the hook is there.
static COUNT: AtomicU64 = AtomicU64::new(0);

static HOOK: Once = Once::new();

thread_local! {
    /// How many [`catch`] there are around what this thread does.
    static CATCHING: Cell<u32> = const { Cell::new(0) };
    /// The place of the last panic on this thread.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    /// What it said.
    pub message: String,
    /// Where it was in the source: file, line and column. Unknown for one that was resumed after it had been caught elsewhere.
    pub place: Option<String>,
}

impl Panicked {
    /// The coded error that stands for it.
    pub fn to_error(&self) -> Error {
        let place = self.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
        Error::new(ErrorCode::Panicked, format!("panicked{place}: {}", self.message))
    }
}

/// Runs something; `Err` when it panics. The caller tells of it, and answers for what the work may have left half done.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            if !note(info) {
                others(info);
            }
        }));
    });
    let depth = Depth::deeper();
    let done = catch_unwind(AssertUnwindSafe(work));
    drop(depth);
    done.map_err(|payload| Panicked { message: said(&*payload), place: PLACE.take() })
}

/// Has every panic of the process that [`catch`] does not catch told as an ERROR line of its log, with its thread and its place,
/// instead of on standard error. For binaries: to be called before anything is caught.
pub fn tell_in_log() {
    HOOK.call_once(|| {
        set_hook(Box::new(|info| {
            if !note(info) {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                let thread = std::thread::current();
                let thread = thread.name().unwrap_or("unnamed");
                tracing::error!(code = %ErrorCode::Panicked, place, thread, "panicked: {}", said(info.payload()));
            }
        }));
    });
}

/// The panics of this process, caught ones included.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// What a panic said.
pub fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("it does not say why").to_owned()
}

/// Counts a panic and remembers its place; true when somebody on this thread is going to tell of it.
fn note(info: &PanicHookInfo<'_>) -> bool {
    COUNT.fetch_add(1, Ordering::Relaxed);
    let caught = CATCHING.get() > 0;
    if caught {
        PLACE.set(info.location().map(ToString::to_string));
    }
    caught
}

/// One more [`catch`] on this thread, while it lives.
struct Depth;

impl Depth {
    fn deeper() -> Self {
        CATCHING.set(CATCHING.get() + 1);
        Depth
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        CATCHING.set(CATCHING.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_caught_says_what_and_where() {
        let before = count();
        let caught = catch(|| -> () { panic!("with {}", 7) }).unwrap_err();
        assert_eq!(caught.message, "with 7");
        assert!(caught.place.as_deref().is_some_and(|place| place.contains("panics.rs:")), "{caught:?}");
        assert!(count() > before);
        let error = caught.to_error();
        assert!(error.message.starts_with("panicked at ") && error.message.ends_with(": with 7"), "{error}");
    }

    #[test]
    fn one_that_says_nothing_is_caught_too() {
        let caught = catch(|| std::panic::panic_any(5_u8)).unwrap_err();
        assert_eq!(caught.message, "it does not say why");
    }

    #[test]
    fn an_inner_catch_takes_nothing_from_the_outer_one() {
        let outer = catch(|| {
            catch(|| panic!("inner")).unwrap_err();
            panic!("outer");
        });
        let Panicked { message, place } = outer.unwrap_err();
        assert_eq!(message, "outer");
        assert!(place.is_some());
        assert_eq!(catch(|| 3), Ok(3));
    }
}
