// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Adds 1 to the money of a person. */

export default function money(record) {
  const { name, money, expected = 0 } = record.json();
  return { name, money: money + 1, expected };
}
