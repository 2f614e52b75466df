// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The SQL of the control plane: text to statements.
