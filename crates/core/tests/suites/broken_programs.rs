// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Programs that are broken on purpose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use fnstream_core::runtime::Program;
use fnstream_core::test_util::suites::run;
use fnstream_core::test_util::suites::runtime::{self, Behaviour, Guest, RuntimeHarness};

use crate::obedient::Obedient;
use crate::rejects;

struct InMemory {
    program: Arc<dyn Program>,
    fault: Option<Fault>,
    /// What never ends goes on until this is dropped.
    _keep: Sender<()>,
}

impl InMemory {
    fn harness(fault: Option<Fault>) -> Box<dyn RuntimeHarness> {
        let (program, keep) = Obedient::new(fault);
        Box::new(InMemory { program: Arc::new(program), fault, _keep: keep })
    }
}

impl RuntimeHarness for InMemory {
    fn able(&self) -> &[Behaviour] {
        if self.fault == Some(Fault::SaysThatItCannotTrap) {
            return &[Behaviour::Echo, Behaviour::Loop, Behaviour::Grow];
        }
        &Behaviour::ALL
    }

    fn guest(&self, behaviour: Behaviour) -> Option<Guest> {
        let wanted = match behaviour {
            Behaviour::Trap if self.fault == Some(Fault::HasNoGuestThatTraps) => return None,
            _ if !self.able().contains(&behaviour) => return None,
            Behaviour::Echo | Behaviour::PassThrough | Behaviour::Hooks | Behaviour::RefuseInit => "fine",
            Behaviour::Count => "count",
            Behaviour::Fail => "bad",
            Behaviour::FailLate => "half",
            Behaviour::Trap => "trap",
            Behaviour::Loop => "loop",
            Behaviour::Grow => "eat",
            Behaviour::Exit => "exit",
            Behaviour::UnknownTarget => "target",
            Behaviour::Timers => "timers",
        };
        let refuse = (behaviour == Behaviour::RefuseInit).then(|| ("refuse".to_owned(), String::new()));
        Some(Guest {
            program: Arc::clone(&self.program),
            config: BTreeMap::from_iter(refuse),
            echo: |text| text.as_bytes().to_vec(),
            wanted: wanted.into(),
        })
    }

    fn names_record(&self, _: Behaviour) -> bool {
        true
    }

    fn undoes(&self, behaviour: Behaviour) -> bool {
        matches!(behaviour, Behaviour::Fail | Behaviour::FailLate)
    }

    fn patience(&self) -> Duration {
        match self.fault {
            // It does not end however long one waits.
            Some(Fault::IgnoresTime) => Duration::from_millis(1),
            _ => Duration::from_secs(60),
        }
    }
}

#[test]
fn the_program_in_memory_keeps_to_the_contract() {
    run(runtime::CHECKS, || InMemory::harness(None));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    SaysThatItCannotTrap,
    HasNoGuestThatTraps,
    LosesTheLastRecord,
    ProcessesBackwards,
    DropsEmptyKeys,
    DropsHeaders,
    EmptiesNullValues,
    ForgetsTime,
    KeepsStateToItself,
    WritesBareKeys,
    IsNeverWell,
    ForgetsWatermarks,
    SkipsCheckpoints,
    SetsNoTimers,
    DeletesNoTimers,
    MixesDomains,
    LosesTheLastTimer,
    FiresBackwards,
    NamesTheTimerAfter,
    FiresAfterAFailure,
    SwallowsFaultsAtTimers,
    AsksWhileItIsMade,
    AsksWhenItIsDropped,
    TrapsAreErrors,
    ExitsAreSuccesses,
    UnknownTargetsAreErrors,
    NamesTheRecordAfter,
    NamesNoRecord,
    WorksAfterAFailure,
    BeatsAfterAFailure,
    WorksAfterARefusedInit,
    LeavesHalfOfARecord,
    LosesWhatCameBefore,
    GoesOnAfterARecord,
    IsSpoiltByWhatItUndid,
    UndoesNothing,
    UndoesAnotherRecord,
    PoisonsSiblings,
    IgnoresTime,
    TimeoutsAreTraps,
    IgnoresMemory,
    StartsOverTheLimit,
    SwallowsFaultsOfTheHost,
    ReportsFaultsOfTheHostAsErrors,
    BlamesTheRecordForTheHost,
}

const FAULTS: [(Fault, &str); 45] = [
    (Fault::SaysThatItCannotTrap, "the_harness_has_what_it_says"),
    (Fault::HasNoGuestThatTraps, "the_harness_has_what_it_says"),
    (Fault::LosesTheLastRecord, "records_come_in_order_and_complete"),
    (Fault::ProcessesBackwards, "records_come_in_order_and_complete"),
    (Fault::DropsEmptyKeys, "a_record_is_carried_over_whole"),
    (Fault::DropsHeaders, "a_record_is_carried_over_whole"),
    (Fault::EmptiesNullValues, "a_record_is_carried_over_whole"),
    (Fault::ForgetsTime, "a_record_is_carried_over_whole"),
    (Fault::KeepsStateToItself, "state_is_kept_by_the_host"),
    (Fault::WritesBareKeys, "state_is_kept_by_the_host"),
    (Fault::IsNeverWell, "a_healthy_instance_answers_every_call"),
    (Fault::ForgetsWatermarks, "what_hooks_do_reaches_the_host"),
    (Fault::SkipsCheckpoints, "what_hooks_do_reaches_the_host"),
    (Fault::SetsNoTimers, "timers_reach_the_host"),
    (Fault::DeletesNoTimers, "timers_reach_the_host"),
    (Fault::MixesDomains, "timers_reach_the_host"),
    (Fault::LosesTheLastTimer, "timers_come_in_order_and_complete"),
    (Fault::FiresBackwards, "timers_come_in_order_and_complete"),
    (Fault::NamesTheTimerAfter, "the_failed_timer_is_named_rightly_and_poisons"),
    (Fault::FiresAfterAFailure, "the_failed_timer_is_named_rightly_and_poisons"),
    (Fault::SwallowsFaultsAtTimers, "a_fault_of_the_host_keeps_its_code"),
    (Fault::AsksWhileItIsMade, "the_host_is_called_only_while_a_method_runs"),
    (Fault::AsksWhenItIsDropped, "the_host_is_called_only_while_a_method_runs"),
    (Fault::TrapsAreErrors, "every_way_to_fail_has_its_own_code"),
    (Fault::ExitsAreSuccesses, "every_way_to_fail_has_its_own_code"),
    (Fault::UnknownTargetsAreErrors, "every_way_to_fail_has_its_own_code"),
    (Fault::NamesTheRecordAfter, "the_failed_record_is_named_rightly"),
    (Fault::NamesNoRecord, "the_failed_record_is_named_rightly"),
    (Fault::WorksAfterAFailure, "after_a_failure_every_call_is_refused"),
    (Fault::BeatsAfterAFailure, "after_a_failure_every_call_is_refused"),
    (Fault::WorksAfterARefusedInit, "a_refused_init_poisons"),
    (Fault::LeavesHalfOfARecord, "an_undone_record_leaves_nothing_and_its_instance_goes_on"),
    (Fault::LosesWhatCameBefore, "an_undone_record_leaves_nothing_and_its_instance_goes_on"),
    (Fault::GoesOnAfterARecord, "an_undone_record_leaves_nothing_and_its_instance_goes_on"),
    (Fault::IsSpoiltByWhatItUndid, "an_undone_record_leaves_nothing_and_its_instance_goes_on"),
    (Fault::UndoesNothing, "an_undone_record_leaves_nothing_and_its_instance_goes_on"),
    (Fault::UndoesAnotherRecord, "an_undone_record_leaves_nothing_and_its_instance_goes_on"),
    (Fault::PoisonsSiblings, "a_failure_touches_no_other_instance"),
    (Fault::IgnoresTime, "a_call_that_never_ends_is_ended"),
    (Fault::TimeoutsAreTraps, "a_call_that_never_ends_is_ended"),
    (Fault::IgnoresMemory, "memory_stays_within_its_limit"),
    (Fault::StartsOverTheLimit, "an_instance_larger_than_its_limit_does_not_run"),
    (Fault::SwallowsFaultsOfTheHost, "a_fault_of_the_host_keeps_its_code"),
    (Fault::ReportsFaultsOfTheHostAsErrors, "a_fault_of_the_host_keeps_its_code"),
    (Fault::BlamesTheRecordForTheHost, "a_fault_of_the_host_is_no_records"),
];

#[test]
fn every_broken_program_is_rejected() {
    rejects(runtime::CHECKS, &FAULTS, |fault| InMemory::harness(Some(fault)));
}
