// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! An asynchronous client of Apache Pulsar.
