// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The bench, which checks what it measures.

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
    let Ok(broker) = std::env::var("FNSTREAM_KAFKA") else {
        assert!(std::env::var_os("CI").is_none(), "FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        eprintln!("SKIPPED: FNSTREAM_KAFKA names no broker: see scripts/kafka.sh");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let archive = echo(&folder);
    let bench = ["bench", "--backend", "kafka", "--bootstrap", &broker, "--json"];
    for (args, variant) in [
        (&["--archive", &archive, "--records", "5000"][..], "wasm"),
        (&["--variant", "copy", "--workload", "keyed-count", "--keys", "50", "--records", "5000"], "copy"),
        (&["--variant", "copy", "--rate", "1000", "--warm-up", "1", "--records", "2000"], "copy"),
        (&["--archive", &archive, "--rate", "1000", "--warm-up", "1", "--records", "4000", "--kill"], "wasm"),
    ] {
        let output = run(&[&bench[..], args].concat());
        assert!(output.status.success(), "{args:?}: {}", err(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["variant"], &report["partitions"]), (&variant.into(), &2.into()));
        for count in ["lost", "duplicated", "wrong"] {
            assert_eq!(report[count], 0, "{args:?}: {report:#}");
        }
        let is_killed = args.contains(&"--kill");
        assert!(is_killed || report["cpu_seconds_per_million"].as_f64().unwrap() > 0.0, "{report:#}");
        assert_eq!(report["restart_seconds"].is_f64(), is_killed, "{report:#}");
        assert!(report["peak_memory"].as_u64().unwrap() > 10 << 20, "{report:#}");
        assert_eq!(report["latency"].is_object(), args.contains(&"--rate"), "{report:#}");
    }
    // A copy is no count: the check must see it.
    let copies = format!("nothing={} bench --copy-loop", env!("CARGO_BIN_EXE_function-stream"));
    let output = run(&[&bench[..], &["--workload", "keyed-count", "--records", "500", "--peer", &copies]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("variant nothing did not deliver each record exactly once"), "{}", err(&output));
    // A program that ends is told with what it said.
    let output = run(&[&bench[..], &["--records", "500", "--peer", "broken=ls --no-such-flag"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("the program ended by itself"), "{}", err(&output));
    assert!(err(&output).contains("no-such-flag"), "{}", err(&output));
}

#[test]
fn a_bench_on_kafka_needs_a_cluster_and_what_runs_there() {
    for (args, why) in [
        (&["--backend", "kafka"][..], "need each other"),
        (&["--bootstrap", "localhost:9092"], "need each other"),
        (&["--backend", "kafka", "--bootstrap", "h:1", "--variant", "native"], "not for Kafka"),
        (&["--backend", "kafka", "--bootstrap", "h:1", "--peer", "java"], "NAME=COMMAND"),
        (&["--backend", "kafka", "--bootstrap", "h:1", "--rate", "10", "--records", "50"], "warm-up"),
        (&["--copy-loop"], "BENCH_"),
    ] {
        let output = run(&[&["bench"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert!(err(&output).contains(why), "{args:?}: {}", err(&output));
    }
}
