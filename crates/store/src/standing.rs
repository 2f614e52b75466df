// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Where tasks stand, for those who do not run them.

use fnstream_core::Result;
use fnstream_core::epoch::{FunctionId, TaskId};
use fnstream_core::state::Visit;
use fnstream_core::tasks::{Standing, Tasks};

use crate::db::Moment;
use crate::error::corrupt;
use crate::formats;
use crate::inner::Inner;
use crate::keys;
use crate::store::Store;

/// What tasks have committed to the store.
pub(crate) struct CommittedTasks(pub Store);

impl Tasks for CommittedTasks {
    fn fence(&self, function: FunctionId) -> Result<Standing> {
        self.0.inner().fence(function)
    }

    fn progress(&self, function: FunctionId) -> Result<Standing> {
        self.0.inner().progress(function)
    }

    fn peek(&self, task: TaskId, start: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        self.0.inner().peek(task, start, visit)
    }
}

impl Inner {
    /// Fences the tasks of a function and answers where they stand.
    pub(crate) fn fence(&self, function: FunctionId) -> Result<Standing> {
        let db = self.db()?;
        let moment = {
            // Waits for the group that is being written: its epochs count. What is in the queue behind it is refused.
            let mut ledger = self.ledger.lock();
            ledger.fence(function);
            db.moment()
        };
        standing(&moment, function)
    }

    /// Where the tasks of a function or a fork stand.
    pub(crate) fn progress(&self, function: FunctionId) -> Result<Standing> {
        standing(&self.db()?.moment(), function)
    }
}

fn standing(moment: &Moment<'_>, function: FunctionId) -> Result<Standing> {
    let mut iterator = moment.iterate(keys::META, keys::all_of(b"p", function.0));
    let mut found = Standing::new();
    while let Some((key, value)) = iterator.item() {
        let index = keys::tagged_index(key).ok_or_else(|| corrupt("the key of a progress is truncated"))?;
        found.insert(index, formats::decode_progress(value)?.1);
        iterator.next();
    }
    moment.ended(&iterator)?;
    Ok(found)
}
