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
    }
    // An echo is no count: the check must see it.
    let output = run(&["bench", "--records", "500", "--workload", "keyed-count", "--archive", &archive]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("did not deliver each record exactly once"), "{}", err(&output));
}
