// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Programs by the digests of their artifacts: as long as one user of a program is left, who asks for it gets the same one.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use fnstream_core::Result;
use parking_lot::Mutex;

/// See the module.
pub(crate) struct Shared<P: ?Sized> {
    slots: Mutex<HashMap<String, Slot<P>>>,
}

/// The lock is held while a program is made, so that two who ask at once compile once, and nobody else waits.
type Slot<P> = Arc<Mutex<Option<Weak<P>>>>;

impl<P: ?Sized> Shared<P> {
    /// The program of that digest, made by `make` if nobody has it; those who ask meanwhile wait for it.
    pub(crate) fn get(&self, digest: &str, make: impl FnOnce() -> Result<Arc<P>>) -> Result<Arc<P>> {
        let slot = self.slot(digest);
        let mut slot = slot.lock();
        if let Some(program) = slot.as_ref().and_then(Weak::upgrade) {
            return Ok(program);
        }
        let program = make()?;
        *slot = Some(Arc::downgrade(&program));
        Ok(program)
    }

    /// Reports whether somebody has it, or makes it: whoever does has seen to the memory.
    pub(crate) fn has(&self, digest: &str) -> bool {
        let slot = self.slots.lock().get(digest).cloned();
        slot.is_some_and(|slot| slot.try_lock().is_none_or(|slot| slot.as_ref().is_some_and(is_used)))
    }

    fn slot(&self, digest: &str) -> Slot<P> {
        let mut slots = self.slots.lock();
        // Those that nobody uses or makes any more.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.lock().as_ref().is_some_and(is_used));
        Arc::clone(slots.entry(digest.to_owned()).or_default())
    }
}

impl<P: ?Sized> Default for Shared<P> {
    fn default() -> Self {
        Shared { slots: Mutex::default() }
    }
}

fn is_used<P: ?Sized>(program: &Weak<P>) -> bool {
    program.strong_count() > 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_core::error::internal;

    use super::*;

    #[test]
    fn a_program_is_made_once_as_long_as_it_is_used() {
        let shared = Shared::<str>::default();
        let first = shared.get("a", || Ok("first".into())).unwrap();
        assert!(shared.has("a") && !shared.has("b"));
        let again = shared.get("a", || Err(internal("it is there"))).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        drop((first, again));
        assert!(!shared.has("a"));
        assert_eq!(&*shared.get("a", || Ok("second".into())).unwrap(), "second");
    }

    #[test]
    fn what_could_not_be_made_is_tried_again() {
        let shared = Shared::<str>::default();
        shared.get("a", || Err(internal("no"))).unwrap_err();
        assert_eq!(&*shared.get("a", || Ok("yes".into())).unwrap(), "yes");
    }
}
