// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/** How its name is resolved: as from within this package. */

export function resolve(specifier, context, next) {
  const own = specifier === "functionstream" || specifier.startsWith("functionstream/");
  return next(specifier, own ? { ...context, parentURL: import.meta.url } : context);
}
