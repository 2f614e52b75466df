// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use parking_lot::Mutex;

use super::*;

/// Threads whose processor time is told, or not.
#[derive(Default)]
struct FakeOs {
    cpu: Mutex<BTreeMap<ThreadId, Duration>>,
    lowered: Mutex<Vec<ThreadId>>,
}

impl Os for FakeOs {
    fn cpu_time(&self, thread: ThreadId) -> Option<Duration> {
        self.cpu.lock().get(&thread).copied()
    }

    fn lower(&self, thread: ThreadId) {
        self.lowered.lock().push(thread);
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A crew of so many threads, all of which have arrived.
fn crew(wanted: usize, extra: usize) -> (Crew, FakeOs) {
    let (mut crew, os) = (Crew::new(), FakeOs::default());
    crew.want(wanted, extra);
    fill(&mut crew, 0, &os, 0);
    (crew, os)
}

/// Hires who is needed; the ids of those who came.
fn fill(crew: &mut Crew, at: u64, os: &FakeOs, slow_jobs: usize) -> Vec<PostId> {
    let hired: Vec<_> = crew.judge(ms(at), slow_jobs, os).hired.into_iter().map(|(id, _)| id).collect();
    for id in &hired {
        crew.arrive(*id, *id as ThreadId);
        os.cpu.lock().insert(*id as ThreadId, ms(0));
    }
    hired
}

#[test]
fn a_stuck_thread_is_replaced_and_the_replacement_goes_when_it_is_not_needed() {
    let (mut crew, os) = crew(2, 10);
    crew.begin(1, ms(0));
    assert_eq!(fill(&mut crew, 9, &os, 0), []);
    assert_eq!(fill(&mut crew, 10, &os, 0), [3]);
    assert!(!crew.has_surplus(ms(11)));
    crew.rest(1);
    assert!(crew.has_surplus(ms(12)));
    crew.leave(2);
    assert!(!crew.has_surplus(ms(12)));
}

#[test]
fn all_that_are_stuck_are_replaced_at_once() {
    let (mut crew, os) = crew(2, 10);
    crew.begin(1, ms(0));
    crew.begin(2, ms(0));
    assert_eq!(fill(&mut crew, 10, &os, 0), [3, 4]);
    crew.begin(3, ms(11));
    crew.begin(4, ms(11));
    assert_eq!(crew.next_look(ms(11), true), Some(ms(20)));
    assert_eq!(fill(&mut crew, 21, &os, 0), [5, 6]);
}

#[test]
fn who_computes_is_lowered_and_who_waits_is_not() {
    let (mut crew, os) = crew(2, 10);
    crew.begin(1, ms(0));
    crew.begin(2, ms(0));
    fill(&mut crew, 10, &os, 0);
    os.cpu.lock().insert(1, HOG_TIME);
    fill(&mut crew, 20, &os, 0);
    assert_eq!(*os.lowered.lock(), [1]);
    assert_eq!((crew.lane(1), crew.lane(2)), (Lane::Slow, Lane::Quick));
    // The other is looked at more and more rarely.
    assert_eq!(crew.next_look(ms(20), false), Some(ms(40)));
    fill(&mut crew, 40, &os, 0);
    assert_eq!(crew.next_look(ms(40), false), Some(ms(80)));
}

#[test]
fn a_thread_whose_time_cannot_be_told_is_taken_for_a_hog() {
    let (mut crew, os) = crew(1, 10);
    os.cpu.lock().clear();
    crew.begin(1, ms(0));
    fill(&mut crew, 10, &os, 0);
    fill(&mut crew, 20, &os, 0);
    assert_eq!(*os.lowered.lock(), [1]);
}

#[test]
fn nobody_is_looked_at_while_nobody_works() {
    let (crew, _) = crew(4, 10);
    assert_eq!(crew.next_look(ms(0), true), None);
}

#[test]
fn each_job_of_the_slow_lane_gets_a_thread_as_long_as_there_is_room() {
    let (mut crew, os) = crew(2, 10);
    assert_eq!(fill(&mut crew, 0, &os, 3), [3, 4, 5]);
    assert_eq!(fill(&mut crew, 0, &os, 3), [], "those who were hired are there for them");
    assert_eq!(fill(&mut crew, 0, &os, 100).len(), 4, "a quarter of the room is kept for the quick lane");
    crew.begin(1, ms(0));
    assert_eq!(fill(&mut crew, 10, &os, 0).len(), 1);
}

#[test]
fn a_full_crew_says_so() {
    let (mut crew, os) = crew(1, 1);
    crew.begin(1, ms(0));
    assert_eq!(fill(&mut crew, 10, &os, 0), [2]);
    crew.begin(2, ms(10));
    let orders = crew.judge(ms(20), 0, &os);
    assert_eq!(orders, Orders { hired: vec![], full: true });
    assert_eq!(crew.judge(ms(21), 0, &os), Orders::default(), "once is enough");
}

#[test]
fn after_a_refusal_nobody_is_hired_for_a_while() {
    let (mut crew, os) = crew(1, 5);
    crew.begin(1, ms(0));
    let hired = crew.judge(ms(10), 0, &os).hired;
    crew.refused(hired[0].0, ms(10));
    assert_eq!(crew.judge(ms(20), 0, &os), Orders::default());
    crew.rest(1);
    assert_eq!(crew.next_look(ms(21), false), Some(ms(1010)));
    crew.begin(1, ms(30));
    assert_eq!(fill(&mut crew, 1010, &os, 0).len(), 1);
}
