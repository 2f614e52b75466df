// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package org.functionstream.bench;

import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.KStream;

/**
 * A workload of {@code function-stream bench} as a job of Kafka Streams, exactly once.
 *
 * <p>The bench starts it as a process, tells it by the environment what to do, and measures it from outside. It says {@code ready}
 * when it runs, and ends at SIGTERM. Everything that the bench does not ask for is left at its default.
 */
public final class Peer {
    private Peer() {}

    public static void main(String[] arguments) {
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "warn");
        KafkaStreams streams = new KafkaStreams(topology(), settings());
        AtomicBoolean said = new AtomicBoolean();
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING && said.compareAndSet(false, true)) {
                System.out.println("ready");
            }
        });
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, told("GROUP"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, told("BOOTSTRAP"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, told("COMMIT_INTERVAL_MS"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, told("PARTITIONS"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, told("FOLDER"));
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        return settings;
    }

    private static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        String workload = told("WORKLOAD");
        KStream<byte[], byte[]> input = builder.stream(told("INPUT"));
        KStream<byte[], byte[]> output = switch (workload) {
            case "pass-through" -> input;
            case "money" -> input.mapValues(new Money()::addOne);
            case "keyed-count" -> {
                builder.addStateStore(KeyedCount.store());
                yield input.processValues(KeyedCount::new, KeyedCount.STORE);
            }
            default -> throw new IllegalArgumentException("unknown workload " + workload);
        };
        output.to(told("OUTPUT"));
        return builder.build();
    }

    private static String told(String name) {
        String value = System.getenv("BENCH_" + name);
        if (value == null) {
            throw new IllegalArgumentException("BENCH_" + name + " is not set: 'function-stream bench --peer' starts this program");
        }
        return value;
    }
}
