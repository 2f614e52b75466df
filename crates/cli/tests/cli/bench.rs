// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The bench, which checks what it measures.

use std::process::{Command, Stdio};

use crate::support::{BINARY, command};
use crate::told::{echo, err, run};

#[test]
fn a_bench_checks_what_it_measures() {
    let folder = tempfile::tempdir().unwrap();
    let archive = echo(&folder);
    for (args, variant) in [
        (&["--archive", &archive][..], "wasm"),
        (&["--variant", "native", "--workload", "money"], "native"),
        (&["--variant", "native", "--workload", "keyed-count", "--keys", "50", "--partitions", "3"], "native"),
        (&["--variant", "copy", "--partitions", "2"], "copy"),
        (&["--variant", "native", "--rate", "2000"], "native"),
        (
            &[
                "--variant",
                "native",
                "--workload",
                "keyed-count",
                "--keys",
                "50",
                "--partitions",
                "2",
                "--rate",
                "2000",
            ],
            "native",
        ),
        (&["--variant", "copy", "--workload", "money", "--rate", "2000"], "copy"),
    ] {
        let output = run(&[&["bench", "--records", "5000", "--durability", "os", "--json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", err(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["variant"], variant);
        for count in ["lost", "duplicated", "wrong"] {
            assert_eq!(report[count], 0, "{args:?}: {report:#}");
        }
        assert!(report["records_per_second"].as_f64().unwrap() > 0.0);
        assert_eq!(report["latency"].is_object(), args.contains(&"--rate"), "{report:#}");
        // Every output is known as that of its record.
        assert!(report["latency"].is_null() || report["latency"]["records"] == 5_000, "{report:#}");
    }
    // An echo is no count: the check must see it.
    let output = run(&["bench", "--records", "500", "--workload", "keyed-count", "--archive", &archive]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("did not deliver each record exactly once"), "{}", err(&output));
}

#[test]
fn a_bench_on_kafka_measures_a_program_from_outside() {
    let Ok(broker) = std::env::var("FNSTREAM_KAFKA") else { return skip("FNSTREAM_KAFKA", "scripts/kafka.sh") };
    let cluster = ["--backend", "kafka", "--bootstrap", &broker];
    measures_programs_from_outside(&cluster);
    checks_what_programs_do(&cluster);
    ends_at_a_signal(&cluster);
}

#[test]
fn a_bench_on_pulsar_measures_a_program_from_outside() {
    let found = std::env::var("FNSTREAM_PULSAR").ok().zip(std::env::var("FNSTREAM_PULSAR_ADMIN").ok());
    let Some((broker, admin)) = found else { return skip("FNSTREAM_PULSAR", "scripts/pulsar.sh") };
    let before = namespaces(&admin);
    let cluster = ["--backend", "pulsar", "--pulsar-url", &broker, "--admin-url", &admin];
    measures_programs_from_outside(&cluster);
    checks_what_programs_do(&cluster);
    ends_at_a_signal(&cluster);
    let alone = ["--variant", "copy", "--unbatched", "--partitions", "3", "--records", "500"];
    let report = measured(&cluster, &alone);
    assert_eq!((&report["unbatched"], &report["partitions"]), (&true.into(), &3.into()), "{report:#}");
    assert_eq!(report["pulsar_url"], *broker);
    // Whatever became of them.
    let left: Vec<_> = namespaces(&admin).into_iter().filter(|namespace| !before.contains(namespace)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skip(variable: &str, script: &str) {
    assert!(std::env::var_os("CI").is_none(), "{variable} names no broker: see {script}");
    eprintln!("SKIPPED: {variable} names no broker: see {script}");
}

/// The report of a bench that finds nothing wrong.
fn measured(cluster: &[&str], args: &[&str]) -> serde_json::Value {
    let output = run(&[&["bench", "--json"], cluster, args].concat());
    assert!(output.status.success(), "{args:?}: {}", err(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for count in ["lost", "duplicated", "wrong"] {
        assert_eq!(report[count], 0, "{args:?}: {report:#}");
    }
    report
}

fn measures_programs_from_outside(cluster: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let archive = echo(&folder);
    for (args, variant, timed) in [
        (&["--archive", &archive, "--records", "5000"][..], "wasm", None),
        (&["--variant", "copy", "--workload", "keyed-count", "--keys", "50", "--records", "5000"], "copy", None),
        (&["--variant", "copy", "--rate", "1000", "--warm-up", "1", "--records", "2000"], "copy", Some(1_000)),
        (
            &["--archive", &archive, "--rate", "1000", "--warm-up", "1", "--records", "4000", "--kill"],
            "wasm",
            Some(3_000),
        ),
    ] {
        let report = measured(cluster, args);
        assert_eq!((&report["variant"], &report["partitions"]), (&variant.into(), &2.into()));
        let is_killed = args.contains(&"--kill");
        // A copy of few records may take less than the tick of 10 ms by which the kernel counts.
        let cpu = report["cpu_seconds_per_million"].as_f64();
        assert!(cpu.is_none() == is_killed && (variant == "copy" || cpu.is_none_or(|cpu| cpu > 0.0)), "{report:#}");
        assert_eq!(report["restart_seconds"].is_f64(), is_killed, "{report:#}");
        assert!(report["peak_memory"].as_u64().unwrap() > 10 << 20, "{report:#}");
        // Every output is known as that of its record.
        assert_eq!(report["latency"]["records"].as_u64(), timed, "{report:#}");
        assert_eq!(report["first_output_seconds"].is_f64(), timed.is_none(), "{report:#}");
    }
}

fn checks_what_programs_do(cluster: &[&str]) {
    let bench = [&["bench", "--records", "500"], cluster].concat();
    // A copy is no count: the check must see it.
    let copies = format!("nothing={} bench --copy-loop {}", env!("CARGO_BIN_EXE_function-stream"), cluster[1]);
    let output = run(&[&bench[..], &["--workload", "keyed-count", "--peer", &copies]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("variant nothing did not deliver each record exactly once"), "{}", err(&output));
    // A program that ends is told with what it said.
    let output = run(&[&bench[..], &["--peer", "broken=ls --no-such-flag"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("the program ended by itself"), "{}", err(&output));
    assert!(err(&output).contains("no-such-flag"), "{}", err(&output));
}

fn ends_at_a_signal(cluster: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (script, begun) = (folder.path().join("idle.sh"), folder.path().join("begun"));
    std::fs::write(&script, format!("echo ready\necho >{}\nexec tail -f /dev/null\n", begun.display())).unwrap();
    let peer = format!("idle=/bin/sh {}", script.display());
    let mut bench = command(BINARY);
    bench.args(["bench", "--rate", "1000", "--records", "1000000", "--peer", &peer]).args(cluster);
    let mut bench = bench.stderr(Stdio::piped()).spawn().unwrap();
    while !begun.exists() {
        assert_eq!(bench.try_wait().unwrap(), None, "the bench ended by itself");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").arg("-2").arg(bench.id().to_string()).status().unwrap().success());
    let output = bench.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("ended by a signal"), "{}", err(&output));
}

/// The namespaces that benches make.
fn namespaces(admin: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("{admin}/admin/v2/namespaces/public");
    let found = runtime.block_on(async { reqwest::get(url).await.unwrap().json::<Vec<String>>().await.unwrap() });
    found.into_iter().filter(|namespace| namespace.starts_with("public/bench-")).collect()
}

#[test]
fn a_bench_on_a_cluster_needs_it_and_what_runs_there() {
    let pulsar = ["--backend", "pulsar", "--pulsar-url", "pulsar://h:1"];
    for (args, why) in [
        (&["--backend", "kafka"][..], "--bootstrap HOST:PORT need each other"),
        (&["--bootstrap", "localhost:9092"], "--bootstrap HOST:PORT need each other"),
        (&["--backend", "kafka", "--bootstrap", "h:1", "--variant", "native"], "not for --backend kafka"),
        (&["--backend", "kafka", "--bootstrap", "h:1", "--peer", "java"], "NAME=COMMAND"),
        (&["--backend", "kafka", "--bootstrap", "h:1", "--rate", "10", "--records", "50"], "warm-up"),
        (&["--backend", "kafka", "--bootstrap", "h:1", "--unbatched"], "need --backend pulsar"),
        (&["--backend", "kafka", "--bootstrap", "h:1", "--admin-url", "http://h:1"], "need --backend pulsar"),
        (&["--backend", "pulsar"], "--pulsar-url URL need each other"),
        (&["--pulsar-url", "pulsar://localhost:6650"], "--pulsar-url URL need each other"),
        (&["--backend", "pulsar", "--bootstrap", "h:1"], "need each other"),
        (&[&pulsar[..], &["--bootstrap", "h:1"]].concat(), "cannot be used with"),
        (&[&pulsar[..], &["--server"]].concat(), "cannot be used with"),
        (&[&pulsar[..], &["--compare"]].concat(), "cannot be used with"),
        (&[&pulsar[..], &["--workers", "2"]].concat(), "cannot be used with"),
        (&[&pulsar[..], &["--variant", "no-commit"]].concat(), "not for --backend pulsar"),
        (&[&pulsar[..], &["--peer", "java"]].concat(), "NAME=COMMAND"),
        (&[&pulsar[..], &["--rate", "10", "--records", "50"]].concat(), "warm-up"),
        (&[&pulsar[..], &["--admin-url", "https://h:1"]].concat(), "'https' is not spoken"),
        (&["--backend", "pulsar", "--pulsar-url", "h:1", "--variant", "copy"], "--pulsar-url: invalid service address"),
        (&["--unbatched"], "need --backend pulsar"),
        (&["--kill", "--rate", "10"], "need --backend kafka or pulsar"),
        (&["--kill", "--rate", "10", "--server"], "need --backend kafka or pulsar"),
        (&["--server", "--program", "p"], "need --backend kafka or pulsar"),
        (&["--peer", "nothing=true"], "need --backend kafka or pulsar"),
        (&[&pulsar[..], &["--kill"]].concat(), "--rate"),
        (&["--copy-loop", "kafka"], "BENCH_"),
        (&["--copy-loop", "pulsar"], "BENCH_"),
        (&["--copy-loop", "embedded"], "the embedded log"),
    ] {
        let output = run(&[&["bench"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert!(err(&output).contains(why), "{args:?}: {}", err(&output));
    }
}

#[test]
fn a_cluster_that_does_not_answer_is_told_with_its_address() {
    // Nobody listens at a port that was given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (broker, admin) = (format!("pulsar://127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let cluster = ["--backend", "pulsar", "--pulsar-url", &broker, "--admin-url", &admin];
    let output = run(&[&["bench", "--variant", "copy"][..], &cluster].concat());
    assert_eq!(output.status.code(), Some(1));
    let why = format!("Pulsar's REST interface at {admin} does not answer");
    assert!(err(&output).contains(&why) && err(&output).contains("--admin-url"), "{}", err(&output));
}
