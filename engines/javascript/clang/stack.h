// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

/* Included before each file of QuickJS.
 *
 * QuickJS has no bound for its stack where __wasi__ is defined, so that a recursion without end would trap, and the instance with it.
 * The headers of the C library want the definition, and nothing of QuickJS's own that is compiled here needs it. So the headers come
 * first, and then it goes. */

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#undef __wasi__
