// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::sync::atomic::AtomicU32;

use super::*;

const MIB: usize = 1 << 20;

fn guests(limit: usize) -> (Guests, Part) {
    let part = Part::new("guests", "functions' memories", limit);
    (Guests::new(part.clone()), part)
}

/// An account with that much, and how often it was woken.
fn with(guests: &Guests, bytes: usize) -> (Account, Arc<AtomicU32>) {
    let woken = Arc::new(AtomicU32::new(0));
    let times = woken.clone();
    let account = guests.open(Waker::new(move || {
        times.fetch_add(1, Ordering::Relaxed);
    }));
    account.grow(bytes).unwrap();
    (account, woken)
}

fn short(account: &Account, more: usize) -> String {
    let refused = account.grow(more).unwrap_err();
    assert_eq!(refused.code, ErrorCode::GuestMemoryShort, "{refused}");
    refused.message
}

#[test]
fn what_instances_have_is_taken_from_the_part_and_comes_back() {
    let (guests, part) = guests(100 * MIB);
    let (one, _) = with(&guests, 30 * MIB);
    let (other, _) = with(&guests, 10 * MIB);
    assert_eq!(part.used(), 40 * MIB);
    one.give_back(5 * MIB);
    assert_eq!((one.bytes(), part.used()), (25 * MIB, 35 * MIB));
    drop(other);
    assert_eq!(part.used(), 25 * MIB);
    drop(one.clone());
    assert_eq!(part.used(), 25 * MIB, "a clone is the same account");
    drop(one);
    assert_eq!((part.used(), part.peak()), (0, 40 * MIB));
}

#[test]
fn who_wants_more_than_there_is_for_all_is_refused_and_keeps_nothing_from_others() {
    let (guests, part) = guests(100 * MIB);
    let (one, _) = with(&guests, 30 * MIB);
    let (other, woken) = with(&guests, 40 * MIB);
    let (waiting, granted) = with(&guests, MIB);
    // It has a claim, before that of another.
    assert!(short(&one, 30 * MIB).contains("is used up"));
    assert!(short(&waiting, 65 * MIB).contains("is used up"));
    let refused = one.grow(71 * MIB).unwrap_err();
    assert_eq!(refused.code, ErrorCode::GuestOutOfMemory, "it is its own failure");
    assert_eq!(
        refused.message,
        "the instance asked for 105906176 bytes of memory in all, and the server has 104857600 for all functions"
    );
    assert_eq!(part.refused(), 3);
    assert_eq!(woken.load(Ordering::Relaxed), 0, "nobody gives way to it");
    other.grow(22 * MIB).unwrap();
    assert!(!one.is_granted() && granted.load(Ordering::Relaxed) == 0);
    drop((one, other));
    assert!(waiting.is_granted());
}

#[test]
fn the_largest_gives_way_to_one_of_half_its_size_and_what_it_leaves_is_kept_for_that() {
    let (guests, part) = guests(100 * MIB);
    let (hog, woken) = with(&guests, 60 * MIB);
    let (second, unwoken) = with(&guests, 40 * MIB);
    let (small, _) = with(&guests, 0);
    let told = short(&small, 10 * MIB);
    assert!(told.ends_with("this instance has 0 and asked for 10485760 more; others give way to it"), "{told}");
    assert_eq!(
        (woken.load(Ordering::Relaxed), unwoken.load(Ordering::Relaxed), part.refused()),
        (1, 0, 2),
        "both are refused something"
    );
    assert_eq!(hog.check().unwrap_err().code, ErrorCode::GuestMemoryShort);
    second.check().unwrap();
    short(&hog, 1);
    short(&small, 10 * MIB);
    second.check().unwrap();

    hog.give_back(60 * MIB);
    hog.check().unwrap();
    // It starts again, and faster than the small one.
    hog.grow(9 * MIB).unwrap();
    assert!(short(&hog, 50 * MIB).ends_with("would have to give way"), "50 MiB are free, 10 of them promised");
    hog.grow(40 * MIB).unwrap();
    small.grow(5 * MIB).unwrap();
    small.grow(5 * MIB).unwrap();
    assert_eq!(part.used(), 99 * MIB);
}

#[test]
fn nobody_gives_way_to_one_that_is_as_large() {
    let (guests, _) = guests(100 * MIB);
    let (one, woken) = with(&guests, 50 * MIB);
    let (other, _) = with(&guests, 26 * MIB);
    assert!(short(&other, 25 * MIB).ends_with("no other instance is so large that it would have to give way"));
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    one.check().unwrap();
    other.content();
    one.grow(24 * MIB).unwrap();
}

#[test]
fn half_an_equal_share_is_always_to_be_had() {
    const N: usize = 10;
    let (guests, _) = guests(100 * MIB);
    let share = 100 * MIB / N / 2;
    // Whatever the others have, with that many of them.
    for others in [[95, 1, 1, 1, 1, 1, 0, 0, 0], [20, 20, 20, 20, 10, 5, 5, 0, 0], [12, 11, 11, 11, 11, 11, 11, 11, 11]]
    {
        let others: Vec<_> = others.into_iter().map(|mib| with(&guests, mib * MIB)).collect();
        let (small, _) = with(&guests, 0);
        let mut gave_way = 0;
        while let Err(refused) = small.grow(share) {
            assert!(refused.message.ends_with("others give way to it"), "{refused}");
            let (largest, _) = others.iter().find(|(other, _)| other.check().is_err()).unwrap();
            largest.give_back(largest.bytes());
            gave_way += 1;
        }
        assert!(gave_way <= 1, "one that gives way is enough");
    }
}

#[test]
fn idle_ones_are_asked_first_and_the_longest_idle_before_all() {
    let (guests, _) = guests(100 * MIB);
    let (hog, revoked) = with(&guests, 40 * MIB);
    let (later, asked_later) = with(&guests, 20 * MIB);
    let (first, asked_first) = with(&guests, 15 * MIB);
    first.idle();
    later.idle();
    let times = || [&revoked, &asked_first, &asked_later].map(|woken| woken.load(Ordering::Relaxed));
    assert_eq!(times(), [0, 0, 0]);
    let (small, _) = with(&guests, 10 * MIB);
    assert_eq!(times(), [0, 1, 0], "above three quarters, before anybody is refused");
    assert!(first.is_asked() && !later.is_asked());
    short(&small, 20 * MIB);
    assert_eq!(times(), [0, 1, 0], "what was asked back is on its way and enough");
    short(&small, 40 * MIB);
    assert_eq!(times(), [0, 1, 1], "now it is not");
    first.give_back(15 * MIB);
    later.give_back(20 * MIB);
    small.grow(40 * MIB).unwrap();
    hog.check().unwrap();
}

#[test]
fn who_has_something_to_do_again_gives_nothing_back_and_is_not_counted_on() {
    let (guests, _) = guests(100 * MIB);
    let (rested, woken) = with(&guests, 30 * MIB);
    let (hog, _) = with(&guests, 40 * MIB);
    rested.idle();
    let (small, _) = with(&guests, 20 * MIB);
    assert!(rested.is_asked());
    rested.busy();
    assert!(!rested.is_asked());
    // As if it had become busy just when it was asked.
    rested.0.entry.asked.store(true, Ordering::Relaxed);
    assert!(short(&small, 15 * MIB).ends_with("would have to give way"), "nobody is idle, and nobody twice as large");
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    hog.check().unwrap();
}

#[test]
fn small_idle_ones_make_room_for_modest_ones_only() {
    let (guests, _) = guests(640 * MIB);
    let (idle, woken) = with(&guests, MIB);
    idle.idle();
    let (busy, _) = with(&guests, 100 * MIB);
    let (large, _) = with(&guests, 529 * MIB);
    assert!(short(&large, 12 * MIB).ends_with("would have to give way"), "what the small one has is not enough");
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    busy.check().unwrap();
    let (_modest, _) = with(&guests, MIB);
    assert_eq!(woken.load(Ordering::Relaxed), 1, "before anybody is refused");
}

#[test]
fn small_idle_ones_make_room_for_a_large_one_that_lacks_nothing_else() {
    let (guests, _) = guests(640 * MIB);
    let small: Vec<_> = (0..3).map(|_| with(&guests, MIB)).collect();
    small.iter().for_each(|(account, _)| account.idle());
    let (large, _) = with(&guests, 630 * MIB);
    let woken = || small.iter().map(|(_, woken)| woken.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let told = short(&large, 9 * MIB);
    assert!(told.ends_with("others give way to it"), "{told}");
    assert_eq!(woken(), [1, 1, 0], "the longest idle, and no more than is needed");
    short(&large, 9 * MIB);
    assert_eq!(woken(), [1, 1, 0], "what was asked back is on its way and enough");
    // One gives back, and another has something to do before it can.
    small[0].0.give_back(MIB);
    small[1].0.busy();
    short(&large, 9 * MIB);
    assert_eq!(woken(), [1, 1, 1]);
    small[2].0.give_back(MIB);
    large.grow(9 * MIB).unwrap();
}

#[test]
fn smaller_claims_are_served_first_and_equal_ones_in_turn() {
    let (guests, _) = guests(100 * MIB);
    let (hog, _) = with(&guests, 100 * MIB);
    let accounts: Vec<_> = (0..3).map(|_| with(&guests, 0).0).collect();
    let [first, second, smaller] = &accounts[..] else { unreachable!() };
    for (account, mib) in [(second, 40), (first, 40), (smaller, 10)] {
        short(account, mib * MIB);
    }
    drop(hog);
    // 75 are free then, and 90 promised.
    let (late, _) = with(&guests, 25 * MIB);
    short(first, 40 * MIB);
    second.grow(40 * MIB).unwrap();
    assert!(short(&late, 16 * MIB).ends_with("would have to give way"), "35 are free, and all of it is promised");
    smaller.grow(10 * MIB).unwrap();
}

#[test]
fn who_needs_much_does_not_pass_for_a_small_one_while_it_starts_again() {
    let (guests, _) = guests(40 * MIB);
    let all: Vec<_> = (0..5).map(|_| with(&guests, 8 * MIB).0).collect();
    all.iter().for_each(|account| drop(short(account, MIB)));
    all.iter().for_each(|account| account.give_back(8 * MIB));
    // All begin anew at once.
    let started: Vec<_> = all.iter().map(|account| account.grow(8 * MIB).is_ok()).collect();
    assert_eq!(started, [true, true, true, true, false]);
    all[..4].iter().for_each(|account| account.grow(MIB).unwrap());
}

#[test]
fn who_was_refused_is_woken_as_soon_as_there_is_enough_for_it_and_those_before_it() {
    let (guests, _) = guests(100 * MIB);
    let (hog, _) = with(&guests, 100 * MIB);
    let (large, large_woken) = with(&guests, 0);
    let (small, small_woken) = with(&guests, 0);
    short(&large, 45 * MIB);
    short(&small, 10 * MIB);
    let woken = || [&small_woken, &large_woken].map(|woken| woken.load(Ordering::Relaxed));
    hog.give_back(50 * MIB);
    assert_eq!((woken(), small.is_granted(), large.is_granted()), ([1, 0], true, false));
    hog.give_back(5 * MIB);
    assert_eq!((woken(), large.is_granted()), ([1, 1], true));
    hog.give_back(5 * MIB);
    assert_eq!(woken(), [1, 1], "once");
    small.grow(10 * MIB).unwrap();
    assert!(!small.is_granted());
    drop(small);
    large.content();
    assert!(!large.is_granted());
}

#[test]
fn a_claim_ends_when_its_owner_gets_on_without_it() {
    let (guests, _) = guests(100 * MIB);
    let (hog, _) = with(&guests, 100 * MIB);
    let (small, _) = with(&guests, 0);
    short(&small, 30 * MIB);
    hog.give_back(100 * MIB);
    short(&hog, 80 * MIB);
    small.content();
    hog.grow(80 * MIB).unwrap();
    assert!(hog.grow(21 * MIB).is_err());
    drop(small);
}

#[test]
fn a_sum_that_is_never_used_up_refuses_nothing() {
    let account = Account::default();
    account.grow(usize::MAX / 2).unwrap();
    account.idle();
    assert!(!account.is_asked() && account.check().is_ok());
}
