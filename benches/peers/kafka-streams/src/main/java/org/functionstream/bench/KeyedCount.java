// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package org.functionstream.bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Counts the records of each key in state and emits each count, as the example {@code keyed-count} does: 8 bytes, little-endian.
 *
 * <p>It is a processor and not {@code count()}, since that leaves out counts which the next one of the same commit replaces. The store is
 * the one that {@code count()} would have: RocksDB, with a cache in front and a changelog.
 */
final class KeyedCount implements FixedKeyProcessor<byte[], byte[], byte[]> {
    static final String STORE = "counts";

    private FixedKeyProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], Long> counts;

    static StoreBuilder<KeyValueStore<byte[], Long>> store() {
        return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.ByteArray(), Serdes.Long()).withCachingEnabled();
    }

    @Override
    public void init(FixedKeyProcessorContext<byte[], byte[]> context) {
        this.context = context;
        counts = context.getStateStore(STORE);
    }

    @Override
    public void process(FixedKeyRecord<byte[], byte[]> record) {
        Long before = counts.get(record.key());
        long count = before == null ? 1 : before + 1;
        counts.put(record.key(), count);
        byte[] value = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(count).array();
        context.forward(record.withValue(value));
    }
}
