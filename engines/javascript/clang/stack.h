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

/* What QuickJS measures is the stack in linear memory, on which a function has only those variables whose addresses are taken. What is
 * exhausted first is the stack of the compiled code, where each call has its frame. So whoever looks how much there is left takes some
 * of the measured stack, too: then the depth of calls is bounded wherever QuickJS has a bound. */

/* The compiler must believe that somebody reads it. */
#define FNSTREAM_FRAME(size) char fnstream_frame[size]; __asm__ volatile("" : : "r"(fnstream_frame) : "memory")

static inline __attribute__((always_inline)) void *fnstream_frame_address(void)
{
    FNSTREAM_FRAME(64);
    return (void *)fnstream_frame;
}

#define __builtin_frame_address(level) fnstream_frame_address()
