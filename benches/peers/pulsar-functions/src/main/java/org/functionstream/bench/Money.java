// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package org.functionstream.bench;

import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import org.apache.pulsar.functions.api.Context;
import org.apache.pulsar.functions.api.Function;

/** Parses a JSON object, adds 1 to a number, writes it: what the example {@code basic} does. */
public final class Money implements Function<byte[], byte[]> {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final ObjectReader reader = MAPPER.readerFor(Person.class);
    private final ObjectWriter writer = MAPPER.writerFor(Person.class);

    @Override
    public byte[] process(byte[] value, Context context) throws IOException {
        Person person = reader.readValue(value);
        person.money += 1;
        return writer.writeValueAsBytes(person);
    }

    /** What the records hold, in and out. */
    @JsonPropertyOrder({"name", "money", "expected"})
    static final class Person {
        public String name;
        public long money;
        public long expected;
    }
}
