// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Configuration files: text to typed values, with the place of every problem.
