// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package org.functionstream.bench;

/** What the bench says by the environment. */
final class Told {
    private Told() {}

    static String by(String name) {
        String value = System.getenv("BENCH_" + name);
        if (value == null) {
            throw new IllegalArgumentException("BENCH_" + name + " is not set: benches/pulsar.py, or 'function-stream bench --peer', starts this program");
        }
        return value;
    }
}
