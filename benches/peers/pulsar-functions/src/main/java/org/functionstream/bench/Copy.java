// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package org.functionstream.bench;

import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.api.Consumer;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.PulsarClientException;
import org.apache.pulsar.client.api.SubscriptionInitialPosition;
import org.apache.pulsar.client.api.SubscriptionType;
import org.apache.pulsar.client.api.TypedMessageBuilder;

/**
 * The limit: consumes and produces by Pulsar's client for Java, a thread for each partition, without a function. What was produced is
 * acknowledged, so nothing is lost; what was produced and not yet acknowledged comes again after a crash.
 */
public final class Copy {
    private Copy() {}

    public static void main(String[] arguments) throws PulsarClientException {
        PulsarClient client = PulsarClient.builder().serviceUrl(Told.by("URL")).build();
        int partitions = Integer.parseInt(Told.by("PARTITIONS"));
        for (int partition = 0; partition < partitions; partition++) {
            String ending = "-partition-" + partition;
            Consumer<byte[]> consumer = client.newConsumer()
                .topic(Told.by("INPUT") + ending)
                .subscriptionName(Told.by("GROUP"))
                .subscriptionType(SubscriptionType.Failover)
                .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest)
                .subscribe();
            Producer<byte[]> producer = client.newProducer()
                .topic(Told.by("OUTPUT") + ending)
                .batchingMaxPublishDelay(1, TimeUnit.MILLISECONDS)
                .blockIfQueueFull(true)
                .sendTimeout(0, TimeUnit.SECONDS)
                .create();
            new Thread(() -> copy(consumer, producer)).start();
        }
        System.out.println("ready");
    }

    private static void copy(Consumer<byte[]> consumer, Producer<byte[]> producer) {
        try {
            while (true) {
                Message<byte[]> message = consumer.receive();
                TypedMessageBuilder<byte[]> output = producer.newMessage().value(message.getValue()).properties(message.getProperties());
                if (message.hasKey()) {
                    output.key(message.getKey());
                }
                if (message.getEventTime() > 0) {
                    output.eventTime(message.getEventTime());
                }
                output.sendAsync().thenCompose(sent -> consumer.acknowledgeAsync(message)).exceptionally(Copy::end);
            }
        } catch (PulsarClientException error) {
            end(error);
        }
    }

    private static Void end(Throwable error) {
        error.printStackTrace();
        Runtime.getRuntime().halt(1);
        return null;
    }
}
