// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** Lets programs outside of this package find it by its name, as those do that have it installed. */

import { register } from "node:module";

register("./resolve.js", import.meta.url);
