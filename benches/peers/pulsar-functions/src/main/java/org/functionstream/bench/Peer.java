// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package org.functionstream.bench;

import java.util.List;
import org.apache.pulsar.client.api.SubscriptionInitialPosition;
import org.apache.pulsar.common.functions.FunctionConfig;
import org.apache.pulsar.functions.LocalRunner;

/**
 * A workload of {@code benches/pulsar.py} as a Pulsar Function in Pulsar's own runner, with a thread for each partition.
 * Its argument is what it promises, such as {@code EFFECTIVELY_ONCE}.
 *
 * <p>The bench starts it as a process, tells it by the environment what to do, and measures it from outside. It says {@code ready}
 * when it runs, and ends at SIGTERM. Everything that the bench does not ask for is left at its default.
 */
public final class Peer {
    private Peer() {}

    public static void main(String[] arguments) throws Exception {
        LocalRunner runner = LocalRunner.builder()
            .functionConfig(function(FunctionConfig.ProcessingGuarantees.valueOf(arguments[0])))
            .brokerServiceUrl(Told.by("URL"))
            .stateStorageServiceUrl(System.getenv("BENCH_STATE"))
            .exitOnError(true)
            .build();
        runner.start(false);
        System.out.println("ready");
    }

    private static FunctionConfig function(FunctionConfig.ProcessingGuarantees promised) {
        Class<?> code = switch (Told.by("WORKLOAD")) {
            case "money" -> Money.class;
            case "keyed-count" -> KeyedCount.class;
            default -> throw new IllegalArgumentException("unknown workload " + Told.by("WORKLOAD"));
        };
        return FunctionConfig.builder()
            .tenant("public")
            .namespace("default")
            .name(Told.by("GROUP"))
            .runtime(FunctionConfig.Runtime.JAVA)
            .className(code.getName())
            .inputs(List.of(Told.by("INPUT")))
            .subName(Told.by("GROUP"))
            .subscriptionPosition(SubscriptionInitialPosition.Earliest)
            .output(Told.by("OUTPUT"))
            .parallelism(Integer.parseInt(Told.by("PARTITIONS")))
            .processingGuarantees(promised)
            .retainOrdering(true)
            .build();
    }
}
