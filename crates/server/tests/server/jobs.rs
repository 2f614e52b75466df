// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Jobs on dead letters: started, watched, cancelled, and what is left of them when something ends meanwhile.

use std::io::Write;
use std::time::Instant;

use fnstream_api::{DeadLetterDrop, DeadLetterSelection, DeadLetterTrial, Job, JobState, PageOptions, ProduceOptions};

use crate::support::{Fixture, LONG, echo, slow, trap};

const ALL: DeadLetterSelection = DeadLetterSelection { count: None };
const LETTERS: usize = 2_000;

/// Asks for a job until it is as it must become.
async fn becomes(fixture: &Fixture, id: &str, wanted: impl Fn(&Job) -> bool) -> Job {
    let until = Instant::now() + LONG;
    loop {
        let job = fixture.client.job(id, None).await.unwrap();
        if wanted(&job) {
            return job;
        }
        assert!(Instant::now() < until, "it does not come: {job:?}");
    }
}

/// Some letters are done and some are not.
fn is_amid(job: &Job) -> bool {
    job.processed > 0
}

/// The letters among the outputs.
async fn letters_out(fixture: &Fixture) -> Vec<String> {
    let mut values = fixture.values("out").await;
    values.retain(|value| value.starts_with('l'));
    values
}

fn letters(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("l{number}")).collect()
}

async fn waiting(fixture: &Fixture) -> u64 {
    fixture.client.list_dead_letters("f", 0).await.unwrap().waiting.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_when_its_caller_hangs_up() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", slow(), LETTERS).await;
    let mut stream = fixture.connect();
    let request =
        "POST /api/v1/function/f/dead-letters/replay?wait=60s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let until = Instant::now() + LONG;
    let job = loop {
        assert!(Instant::now() < until, "no job begins");
        if let Some(job) = fixture.client.jobs(Some("f")).await.unwrap().into_iter().next() {
            break job;
        }
    };
    becomes(&fixture, &job.id, is_amid).await;
    drop(stream);
    let job = fixture.client.wait_for_job(job).await.unwrap();
    assert_eq!((job.state, job.replayed, job.processed), (JobState::Done, LETTERS as u64, LETTERS as u64));
    assert_eq!((job.letters, job.waiting), (Some(LETTERS as u64), Some(0)));
    assert_eq!(letters_out(&fixture).await, letters(0..LETTERS), "each once and in order");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_says_whether_a_job_is_over() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", slow(), 300).await;
    let post = |path: &str| {
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let (status, body) = fixture.raw(request.as_bytes());
        (status, serde_json::from_str::<Job>(&body).unwrap())
    };
    let (status, job) = post("/api/v1/function/f/dead-letters/replay");
    assert_eq!((status, job.state), (202, JobState::Running));
    assert_eq!(fixture.client.wait_for_job(job).await.unwrap().replayed, 300);
    fixture.more_letters("f", 300..310).await;
    let (status, job) = post("/api/v1/function/f/dead-letters/replay?wait=60s");
    assert_eq!((status, job.state, job.replayed), (200, JobState::Done, 10));
    assert_eq!(fixture.client.job("none", None).await.unwrap_err().code(), "FS-1115");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_leaves_the_rest() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", slow(), LETTERS).await;
    let job = fixture.client.start_replay("f", &ALL).await.unwrap();
    becomes(&fixture, &job.id, is_amid).await;
    fixture.client.cancel_job(&job.id).await.unwrap();
    let job = fixture.client.wait_for_job(job).await.unwrap();
    assert_eq!(job.state, JobState::Cancelled);
    let done = job.replayed as usize;
    assert!(done > 0 && done < LETTERS, "{job:?}");
    assert_eq!(job.waiting, Some((LETTERS - done) as u64));
    assert_eq!(letters_out(&fixture).await, letters(0..done));
    let rest = fixture.client.replay_dead_letters("f", &ALL).await.unwrap();
    assert_eq!(rest.replayed as usize, LETTERS - done);
    assert_eq!(letters_out(&fixture).await, letters(0..LETTERS), "each once and in order");
    // One that is over stays as it is.
    assert_eq!(fixture.client.cancel_job(&job.id).await.unwrap(), job);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_has_one_job_at_a_time() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", slow(), LETTERS).await;
    fixture.with_letters("g", echo(), 5).await;
    let job = fixture.client.start_replay("f", &ALL).await.unwrap();
    let drop = DeadLetterDrop { all: true, ..DeadLetterDrop::default() };
    for refused in [fixture.client.start_replay("f", &ALL).await, fixture.client.start_drop("f", &drop).await] {
        let error = refused.unwrap_err();
        assert_eq!(error.code(), "FS-1116");
        assert!(error.to_string().contains(&job.id), "{error}");
    }
    assert_eq!(fixture.client.drop_dead_letters("g", &drop).await.unwrap().dropped, 5, "another function is free");
    let job = fixture.client.cancel_job(&job.id).await.unwrap();
    let job = fixture.client.wait_for_job(job).await.unwrap();
    let dropped = fixture.client.drop_dead_letters("f", &drop).await.unwrap();
    assert_eq!((job.replayed + dropped.dropped) as usize, LETTERS);
    let kinds: Vec<_> = fixture.client.jobs(None).await.unwrap().iter().map(|job| job.kind.as_str()).collect();
    assert_eq!(kinds, ["drop", "drop", "replay"], "the newest first");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn input_is_processed_while_letters_are_replayed() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", slow(), LETTERS).await;
    let job = fixture.client.start_replay("f", &ALL).await.unwrap();
    becomes(&fixture, &job.id, is_amid).await;
    fixture.client.produce("in", "amid".to_owned(), &ProduceOptions::default()).await.unwrap();
    let job = fixture.client.wait_for_job(job).await.unwrap();
    assert_eq!(job.replayed as usize, LETTERS);
    let values = fixture.values("out").await;
    let amid = values.iter().position(|value| value == "amid").unwrap();
    assert!(amid < values.len() - 1, "it waited for all letters");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_function_is_stopped_or_deleted_says_what_it_did() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", slow(), LETTERS).await;
    let job = fixture.client.start_replay("f", &ALL).await.unwrap();
    becomes(&fixture, &job.id, is_amid).await;
    fixture.client.stop_function("f").await.unwrap();
    let job = fixture.client.wait_for_job(job).await.unwrap();
    assert_eq!((job.state, job.error.as_ref().unwrap().code.as_str()), (JobState::Failed, "FS-1105"));
    // What the task had begun is committed while it ends.
    let done = letters_out(&fixture).await.len();
    assert!(done > 0 && done < LETTERS && job.replayed as usize <= done, "{done} {job:?}");
    assert_eq!(waiting(&fixture).await as usize, LETTERS - done);

    fixture.client.start_function("f").await.unwrap();
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.epoch > 0)).await;
    let job = fixture.client.start_replay("f", &ALL).await.unwrap();
    becomes(&fixture, &job.id, is_amid).await;
    fixture.client.delete_function("f").await.unwrap();
    let job = fixture.client.wait_for_job(job).await.unwrap();
    assert_eq!(job.state, JobState::Failed);
    let code = job.error.unwrap().code;
    assert!(["FS-1105", "FS-1102"].contains(&code.as_str()), "{code}");
    let out = letters_out(&fixture).await;
    assert_eq!(out, letters(0..out.len()), "each once and in order");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_server_ended_is_interrupted_and_says_how_far_it_was() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", slow(), LETTERS).await;
    let ended = fixture.client.start_replay("f", &DeadLetterSelection { count: Some(1) }).await.unwrap();
    let ended = fixture.client.wait_for_job(ended).await.unwrap();
    let job = fixture.client.start_replay("f", &ALL).await.unwrap();
    becomes(&fixture, &job.id, is_amid).await;

    let fixture = fixture.restart().await;
    let jobs = fixture.client.jobs(None).await.unwrap();
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&job.id, &ended.id]);
    assert_eq!(jobs[1], ended, "what is over stays known");
    let job = fixture.client.job(&job.id, Some(LONG)).await.unwrap();
    assert_eq!(job.state, JobState::Interrupted);
    let done = letters_out(&fixture).await.len();
    assert!(done > 1 && done < LETTERS, "{done} letters");
    assert_eq!(job.processed as usize, done - 1);
    assert_eq!(waiting(&fixture).await as usize, LETTERS - done);
    assert_eq!(job.finished().unwrap_err().code(), "FS-1607");

    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.epoch > 0)).await;
    let rest = fixture.client.replay_dead_letters("f", &ALL).await.unwrap();
    assert_eq!(rest.replayed as usize, LETTERS - done);
    assert_eq!(letters_out(&fixture).await, letters(0..LETTERS), "each once and in order");
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_lets_input_through_and_its_results_come_in_pages() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", echo(), 1_500).await;
    let digest = fixture.client.upload_artifact(slow()).await.unwrap().digest;
    let trial = DeadLetterTrial { archive: format!("sha256:{digest}"), count: None };
    let job = fixture.client.start_trial("f", &trial).await.unwrap();
    assert_eq!(fixture.client.tried(&job.id).await.unwrap_err().code(), "FS-1116", "it is under way");
    becomes(&fixture, &job.id, is_amid).await;
    fixture.client.produce("in", "amid".to_owned(), &ProduceOptions::default()).await.unwrap();
    fixture.described("f", |f| f.tasks[0].records_in == 2).await;
    let job = becomes(&fixture, &job.id, |_| true).await;
    assert!(!job.state.is_over(), "the input waited for the trial: {job:?}");

    let job = fixture.client.wait_for_job(job).await.unwrap();
    assert_eq!((job.state, job.processed, job.would_succeed), (JobState::Done, 1_500, Some(1_500)));
    let (mut options, mut tried, mut pages) = (PageOptions { max: Some(400), after: None }, Vec::new(), 0);
    loop {
        let page = fixture.client.tried_page(&job.id, &options).await.unwrap();
        assert!(page.rows.len() <= 400);
        tried.extend(page.rows.into_iter().map(|letter| letter.id));
        pages += 1;
        match page.next {
            Some(next) => options.after = Some(next),
            None => break,
        }
    }
    assert_eq!((pages, tried), (4, (0..1_500).map(|at| format!("0:{at}")).collect()));
    assert_eq!(waiting(&fixture).await, 1_500, "nothing was kept");
    assert_eq!(fixture.values("out").await, ["first", "amid"]);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_is_cancelled_frees_its_function() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", echo(), 10_500).await;
    let digest = fixture.client.upload_artifact(slow()).await.unwrap().digest;
    let trial = DeadLetterTrial { archive: format!("sha256:{digest}"), count: None };
    let job = fixture.client.start_trial("f", &trial).await.unwrap();
    becomes(&fixture, &job.id, is_amid).await;
    fixture.client.cancel_job(&job.id).await.unwrap();
    let job = fixture.client.wait_for_job(job).await.unwrap();
    assert_eq!((job.state, job.letters), (JobState::Cancelled, Some(10_000)));
    assert_eq!(fixture.client.tried(&job.id).await.unwrap_err().code(), "FS-1115", "there are no results");
    assert_eq!(fixture.client.replay_dead_letters("f", &ALL).await.unwrap().replayed, 10_500);
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_fail_again_are_counted_and_go_to_the_end() {
    let fixture = Fixture::new().await;
    fixture.with_letters("f", echo(), 20).await;
    let digest = fixture.client.upload_artifact(trap()).await.unwrap().digest;
    let none = fnstream_api::OnError { retries: Some(0), ..Default::default() };
    let update = fnstream_api::FunctionUpdate {
        archive: Some(format!("sha256:{digest}")),
        on_error: none,
        ..Default::default()
    };
    fixture.client.update_function("f", &update).await.unwrap();
    fixture.described("f", |f| f.tasks.first().is_some_and(|task| task.epoch > 0)).await;
    let done = fixture.client.replay_dead_letters("f", &ALL).await.unwrap();
    assert_eq!((done.replayed, done.failed_again, done.waiting, done.finished), (0, 20, 20, true));
    let listed = fixture.client.list_dead_letters("f", 100).await.unwrap();
    let values: Vec<_> = listed.dead_letters.iter().map(|letter| letter.value.clone().unwrap()).collect();
    assert_eq!((values, listed.dead_letters[0].id.as_str()), (letters(0..20), "0:20"));
    fixture.server.shutdown().await.unwrap();
}
