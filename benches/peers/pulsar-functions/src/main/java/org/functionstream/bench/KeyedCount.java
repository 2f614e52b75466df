// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package org.functionstream.bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.pulsar.functions.api.Context;
import org.apache.pulsar.functions.api.Function;

/**
 * Counts the records of each key in the function's state and emits each count, as the example {@code keyed-count} does: 8 bytes,
 * little-endian. The state is that of Pulsar Functions, a table of BookKeeper.
 */
public final class KeyedCount implements Function<byte[], byte[]> {
    @Override
    public byte[] process(byte[] value, Context context) {
        String key = context.getCurrentRecord().getKey().orElse("");
        ByteBuffer before = context.getState(key);
        long count = before == null ? 1 : before.getLong(before.position()) + 1;
        context.putState(key, ByteBuffer.allocate(Long.BYTES).putLong(0, count));
        return ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(count).array();
    }
}
