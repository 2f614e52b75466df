// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

package org.functionstream.bench;

import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;

/** Parses a JSON object, adds 1 to a number, writes it: what the example {@code basic} does. */
final class Money {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final ObjectReader reader = MAPPER.readerFor(Person.class);
    private final ObjectWriter writer = MAPPER.writerFor(Person.class);

    byte[] addOne(byte[] value) {
        try {
            Person person = reader.readValue(value);
            person.money += 1;
            return writer.writeValueAsBytes(person);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** What the records hold, in and out. */
    @JsonPropertyOrder({"name", "money", "expected"})
    static final class Person {
        public String name;
        public long money;
        public long expected;
    }
}
