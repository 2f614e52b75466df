// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What is exposed to monitoring, against traffic that is known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fnstream_api::{LeasedEvent, TakeOptions};

use crate::kafka::topic;
use crate::kafka_functions::{one_partition, say};
use crate::support::{Fixture, LONG, echo, trap, within_long};

/// What a server exposes.
struct Exposed {
    text: String,
}

impl Exposed {
    async fn of(fixture: &Fixture) -> Self {
        let response = reqwest::get(fixture.url("/metrics")).await.unwrap();
        assert_eq!(response.status(), 200);
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let text = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
        assert!(text.ends_with("# EOF\n"));
        Exposed { text }
    }

    /// Looks until it is as it must become: what was committed is readable before it is counted.
    async fn until(fixture: &Fixture, wanted: impl Fn(&Exposed) -> bool) -> Self {
        let until = Instant::now() + LONG;
        loop {
            let exposed = Self::of(fixture).await;
            if wanted(&exposed) {
                return exposed;
            }
            assert!(Instant::now() < until, "it does not come:\n{}", exposed.text);
        }
    }

    fn samples(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap())
    }

    /// The value of a sample, written as in the text.
    fn value(&self, sample: &str) -> f64 {
        let found = self.samples().find(|(name, _)| *name == sample);
        found.unwrap_or_else(|| panic!("no {sample} in\n{}", self.text)).1.parse().unwrap()
    }

    /// A number of a function.
    fn of_function(&self, name: &str, function: &str) -> f64 {
        self.value(&format!("fnstream_function_{name}{{function=\"{function}\"}}"))
    }

    /// Type, unit and labels of each family.
    fn families(&self) -> BTreeMap<String, (String, String, BTreeSet<String>)> {
        let mut families: BTreeMap<String, (String, String, BTreeSet<String>)> = BTreeMap::new();
        let mut current = String::new();
        for line in self.text.lines() {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "TYPE", name, kind] => {
                    current = name.to_owned();
                    families.entry(current.clone()).or_default().0 = kind.to_owned();
                }
                ["#", "UNIT", name, unit] => families.entry(name.to_owned()).or_default().1 = unit.to_owned(),
                ["#", ..] => {}
                _ => {
                    let labels = line.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
                    let names = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
                    let family = families.get_mut(&current).unwrap();
                    family.2.extend(names.filter(|name| *name != "le").map(str::to_owned));
                }
            }
        }
        families
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_number_is_that_of_the_traffic() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("echo", &function).await.unwrap();
    for i in 0..5 {
        fixture.client.produce("in", format!("event {i}"), &Default::default()).await.unwrap();
    }
    for _ in 0..5 {
        fixture.client.consume("out", &within_long()).await.unwrap().unwrap();
    }
    let exposed = Exposed::until(&fixture, |now| now.of_function("records_in_total", "echo") == 5.0).await;
    let of = |name| exposed.of_function(name, "echo");
    assert_eq!((of("records_out_total"), of("records_failed_total"), of("restarts_total")), (5.0, 0.0, 0.0));
    assert_eq!((of("records_dead_lettered_total"), of("records_skipped_total")), (0.0, 0.0));
    assert!((2.0..=7.0).contains(&of("commits_total")), "where it begins is committed too");
    assert!((1.0..=5.0).contains(&of("call_seconds_count")));
    assert!((1.0..=5.0).contains(&of("epoch_seconds_count")));
    assert_eq!(of("commit_seconds_count"), of("commits_total"));
    assert!(of("memory_bytes") >= 65536.0);
    assert_eq!(exposed.value("fnstream_function_lag_records{function=\"echo\",topic=\"in\"}"), 0.0);
    assert_eq!(exposed.value("fnstream_function_tasks{function=\"echo\",state=\"running\"}"), 1.0);
    assert_eq!(exposed.value("fnstream_function_tasks{function=\"echo\",state=\"failed\"}"), 0.0);
    assert_eq!(exposed.value("fnstream_functions{state=\"running\"}"), 1.0);
    assert_eq!(exposed.value("fnstream_produced_records_total"), 5.0);
    assert!(exposed.value("fnstream_produced_bytes_total") >= 35.0);
    assert_eq!(exposed.value("fnstream_produce_seconds_count"), 5.0);
    assert_eq!(exposed.value("fnstream_log_lines_dropped_total"), 0.0);
    assert_eq!(exposed.value("fnstream_state_unapplied_bytes"), 0.0);
    assert!(exposed.value("fnstream_uptime_seconds") > 0.0);

    // It goes on counting over a stop and a start, lags while it does not run, and ends with the function.
    fixture.client.stop_function("echo").await.unwrap();
    fixture.client.produce("in", "late", &Default::default()).await.unwrap();
    let exposed = Exposed::of(&fixture).await;
    assert_eq!(exposed.of_function("records_in_total", "echo"), 5.0);
    assert_eq!(exposed.value("fnstream_functions{state=\"stopped\"}"), 1.0);
    fixture.client.start_function("echo").await.unwrap();
    Exposed::until(&fixture, |now| now.of_function("records_in_total", "echo") == 6.0).await;
    fixture.client.delete_function("echo").await.unwrap();
    assert!(!Exposed::of(&fixture).await.text.contains("echo"));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_the_memory_are_the_whole() {
    let fixture = Fixture::with(|config| config.memory = 400 << 20).await;
    let budget = fixture.server.budget();
    let _held = budget.guests.try_take(1 << 20).unwrap();
    let refused = budget.results.try_take(400 << 20).unwrap_err();
    assert_eq!(refused.code.as_str(), "FS-1708");
    let exposed = Exposed::of(&fixture).await;
    let of = |metric: &str, part: &str| exposed.value(&format!("fnstream_memory_{metric}{{part=\"{part}\"}}"));
    let own = of("budget_bytes", "own");
    let parts = budget.parts().map(|part| {
        let (used, refused) = (of("used_bytes", part.name()), of("refused_total", part.name()));
        assert_eq!(refused, f64::from(u8::from(part.name() == "results")));
        match part.name() {
            "guests" => assert_eq!(used, f64::from(1 << 20)),
            "compiling" | "lists" => assert_eq!(used, 0.0),
            name => assert!(used >= 0.0, "{name}"),
        }
        of("budget_bytes", part.name())
    });
    assert_eq!(own + parts.iter().sum::<f64>(), f64::from(400 << 20));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_and_what_becomes_of_the_record() {
    let fixture = Fixture::new().await;
    let function = fixture.function(trap(), "in", "out").await;
    fixture.client.create_function("trap", &function).await.unwrap();
    fixture.client.produce("in", "x", &Default::default()).await.unwrap();
    let exposed = Exposed::until(&fixture, |now| now.of_function("records_dead_lettered_total", "trap") == 1.0).await;
    let of = |name| exposed.of_function(name, "trap");
    assert_eq!((of("records_in_total"), of("records_skipped_total")), (1.0, 0.0));
    assert!(of("records_failed_total") >= 2.0, "it is tried again once");
    assert!(of("restarts_total") >= 1.0);
    let summary = &fixture.client.status(Some("trap")).await.unwrap()[0];
    assert_eq!((summary.dead_lettered, summary.records_in), (1, 1));
    assert_eq!((summary.failed as f64, summary.restarts as f64), (of("records_failed_total"), of("restarts_total")));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_groups_numbers_are_those_of_its_deliveries() {
    let fixture = Fixture::new().await;
    fixture.client.produce_lines("t", "a\nb\nc\nd", &Default::default()).await.unwrap();
    let some = |max| TakeOptions { max: Some(max), max_deliveries: Some(2), ..Default::default() };
    let receipts = |events: &[LeasedEvent]| events.iter().map(|event| event.receipt.clone()).collect::<Vec<_>>();
    let taken = fixture.client.take("t", "g", &some(3)).await.unwrap().events;
    fixture.client.acknowledge("t", "g", receipts(&taken[2..])).await.unwrap();
    fixture.client.give_back("t", "g", receipts(&taken[..1]), Duration::ZERO).await.unwrap();
    let again = fixture.client.take("t", "g", &some(1)).await.unwrap().events;
    fixture.client.give_back("t", "g", receipts(&again), LONG).await.unwrap();
    fixture.client.give_back("t", "g", receipts(&taken[1..2]), LONG).await.unwrap();
    let exposed = Exposed::of(&fixture).await;
    let of = |name: &str| exposed.value(&format!("fnstream_group_{name}{{topic=\"t\",group=\"g\"}}"));
    assert_eq!((of("lag_records"), of("leased_records"), of("returned_records")), (2.0, 0.0, 1.0));
    assert_eq!((of("records_delivered_total"), of("records_redelivered_total")), (4.0, 1.0));
    assert_eq!((of("records_acknowledged_total"), of("records_dead_lettered_total")), (1.0, 1.0));
    fixture.client.delete_group("t", "g").await.unwrap();
    assert!(!Exposed::of(&fixture).await.text.contains("group=\"g\""));
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_families_are_those_that_are_exposed() {
    let fixture = Fixture::new().await;
    let function = fixture.function(echo(), "in", "out").await;
    fixture.client.create_function("echo", &function).await.unwrap();
    fixture.client.take("in", "g", &Default::default()).await.unwrap();
    let wanted = |now: &Exposed| now.text.contains("function_lag_records{");
    let exposed = Exposed::until(&fixture, wanted).await.families();
    assert_eq!(exposed, documented("metrics.md"));
    fixture.server.shutdown().await.unwrap();
}

/// What a page of the documentation says of families.
fn documented(page: &str) -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let page = std::fs::read_to_string(format!("{}/../../docs/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut documented = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `fnstream_")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let labels: BTreeSet<_> = cells[3].split(", ").filter(|l| !l.is_empty()).map(str::to_owned).collect();
        documented.insert(cells[0].trim_matches('`').to_owned(), (cells[1].to_owned(), cells[2].to_owned(), labels));
    }
    documented
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_on_kafka_has_families_of_its_own() {
    let (Some(input), Some(output)) = (topic(), topic()) else { return };
    let fixture = Fixture::new().await;
    for topic in [&input, &output] {
        one_partition(&fixture, topic).await;
    }
    let function = fixture.function(echo(), &input, &output).await;
    fixture.client.create_function("f", &function).await.unwrap();
    say(&fixture, &input, &["a", "b"]).await;
    let lag = format!("fnstream_kafka_partition_lag{{function=\"f\",topic=\"{input}\",partition=\"0\"}}");
    let read = |now: &Exposed| now.of_function("records_in_total", "f") == 2.0 && now.value(&lag) == 0.0;
    let exposed = Exposed::until(&fixture, read).await;
    let mut families = exposed.families();
    families.retain(|name, _| name.starts_with("fnstream_kafka_"));
    assert_eq!(families, documented("kafka.md"));
    let cluster = input.split_once('@').unwrap().1;
    let transactions = |outcome: &str| {
        exposed.value(&format!("fnstream_kafka_transactions_total{{cluster=\"{cluster}\",outcome=\"{outcome}\"}}"))
    };
    // One at least that says where it begins, and one for the records.
    assert!(transactions("committed") >= 2.0);
    assert_eq!((transactions("aborted"), transactions("fenced"), transactions("unknown")), (0.0, 0.0, 0.0));
    assert!(exposed.value(&format!("fnstream_kafka_transaction_seconds_total{{cluster=\"{cluster}\"}}")) > 0.0);
    fixture.client.stop_function("f").await.unwrap();
    say(&fixture, &input, &["c"]).await;
    let described = fixture.client.describe_function("f").await.unwrap();
    assert_eq!((described.delivery.as_str(), described.commit_interval_ms), ("exactly-once", 100));
    fixture.server.shutdown().await.unwrap();
}
