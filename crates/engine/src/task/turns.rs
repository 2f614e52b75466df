// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Whose turn it is: which input group is read next.
//!
//! A group that was empty when it was asked is not asked again until the task is woken or its slice of time is over, so that
//! one busy group among many empty ones costs a look at each of them once, and then nothing.

use fnstream_core::spec::InputSelector;

/// See the module.
#[derive(Debug)]
pub(super) struct Turns {
    selector: InputSelector,
    /// The groups that the task reads, ascending.
    groups: Vec<u32>,
    /// For each of them whether it was empty when it was last asked.
    empty: Vec<bool>,
    /// The group that is looked at first.
    first: usize,
}

impl Turns {
    /// The turns of a task that reads these groups.
    pub(super) fn new(selector: InputSelector, groups: impl IntoIterator<Item = u32>) -> Self {
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_unstable();
        groups.dedup();
        Turns { selector, empty: vec![false; groups.len()], groups, first: 0 }
    }

    /// The group to ask; `None` when all of them were empty.
    pub(super) fn next(&self) -> Option<u32> {
        self.index().map(|index| self.groups[index])
    }

    /// The group whose turn it was had records.
    pub(super) fn had_some(&mut self) {
        let Some(index) = self.index() else { return };
        match self.selector {
            InputSelector::RoundRobin => self.first = (index + 1) % self.groups.len(),
            InputSelector::Sequential | InputSelector::GroupParallel => self.first = index,
            // Those before it may have records by now, and come first.
            InputSelector::Priority => self.empty.fill(false),
        }
    }

    /// The group whose turn it was had nothing.
    pub(super) fn had_none(&mut self) {
        if let Some(index) = self.index() {
            self.empty[index] = true;
        }
    }

    /// Any group may have records now.
    pub(super) fn woken(&mut self) {
        self.empty.fill(false);
    }

    fn index(&self) -> Option<usize> {
        let count = self.groups.len();
        (0..count).map(|step| (self.first + step) % count).find(|index| !self.empty[*index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups that are served when each has so many batches from the start.
    fn served(selector: InputSelector, mut batches: Vec<u32>) -> String {
        let mut turns = Turns::new(selector, 0..batches.len() as u32);
        let mut order = String::new();
        while let Some(group) = turns.next() {
            match &mut batches[group as usize] {
                0 => turns.had_none(),
                left => {
                    *left -= 1;
                    turns.had_some();
                    order.push_str(&group.to_string());
                }
            }
        }
        order
    }

    #[test]
    fn round_robin_takes_turns_and_passes_over_the_empty() {
        assert_eq!(served(InputSelector::RoundRobin, vec![3, 0, 1, 4]), "02303033");
    }

    #[test]
    fn sequential_takes_all_of_one_before_the_next() {
        assert_eq!(served(InputSelector::Sequential, vec![2, 0, 3, 1]), "002223");
    }

    #[test]
    fn sequential_goes_on_from_where_it_is() {
        let mut turns = Turns::new(InputSelector::Sequential, 0..3);
        turns.had_none();
        turns.had_some();
        // Woken: the first one has records again, but the turn is still the second one's.
        turns.woken();
        assert_eq!(turns.next(), Some(1));
        turns.had_none();
        assert_eq!(turns.next(), Some(2));
    }

    #[test]
    fn priority_is_strict_also_for_what_comes_meanwhile() {
        assert_eq!(served(InputSelector::Priority, vec![2, 0, 2, 1]), "00223");
        let mut turns = Turns::new(InputSelector::Priority, 0..2);
        turns.had_none();
        assert_eq!(turns.next(), Some(1));
        turns.had_some();
        assert_eq!(turns.next(), Some(0), "the first one is asked again before the second one's next batch");
    }

    #[test]
    fn a_task_may_read_some_groups_only() {
        let turns = Turns::new(InputSelector::RoundRobin, [5, 2, 5]);
        assert_eq!(turns.groups, [2, 5]);
        assert_eq!(Turns::new(InputSelector::Priority, []).next(), None);
    }
}
