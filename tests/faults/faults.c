// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Makes calls on files fail as a test asks: preloaded into a server (LD_PRELOAD), told what to do through a file that both map.
//
//   FNSTREAM_FAULTS_FOLDER    only files below this folder are meant
//   FNSTREAM_FAULTS_ORDER     the file with the order, which the test writes at any time; see `struct order`
//
// A call that is meant is counted. It passes as long as `skip` is not used up, then is dealt with as `manner` says, as long as
// `times` is not used up. Nothing is left to chance here: whoever wants chance draws `skip`.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, RENAME = 8, TRUNCATE = 16, ALLOCATE = 32, REMOVE = 64, READ = 128 };

enum {
    FAIL = 0,   // nothing is done, `error` is answered
    SHORT = 1,  // half of a write is done, which its answer says; other calls pass
    TORN = 2,   // half of a write is done, and `error` is answered; other calls fail
    SLOW = 3,   // it is done after `delay_ms`
};

// Numbers of the machine, in this order.
struct order {
    _Atomic uint32_t calls;   // which, of the first enum; 0 = none
    _Atomic uint32_t error;   // errno
    _Atomic uint32_t manner;
    _Atomic uint32_t delay_ms;
    _Atomic int64_t skip;
    _Atomic int64_t times;
    _Atomic uint64_t dealt;   // how many calls were dealt with since the test looked
};

static struct order *order;
static char folder[PATH_MAX];
static size_t folder_length;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FNSTREAM_FAULTS_ORDER"), *below = getenv("FNSTREAM_FAULTS_FOLDER");
    if (!path || !below || strlen(below) >= sizeof folder) return;
    strcpy(folder, below);
    folder_length = strlen(folder);
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(struct order), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) order = mapped;
}

static int is_below(const char *path) {
    return strncmp(path, folder, folder_length) == 0 && (path[folder_length] == '/' || path[folder_length] == 0);
}

static int fd_is_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int path_is_below(int dir, const char *path) {
    return path[0] == '/' ? is_below(path) : dir != AT_FDCWD && fd_is_below(dir);
}

// Whether such calls are meant at all at the moment: cheap, for all the calls that are not.
static int is_meant(uint32_t call) { return order && (atomic_load(&order->calls) & call); }

// Decides about one call; the answer is how to deal with it, or -1 to let it pass.
static int deal(void) {
    if (atomic_fetch_sub(&order->skip, 1) > 0) return -1;
    atomic_store(&order->skip, 0);
    if (atomic_fetch_sub(&order->times, 1) <= 0) {
        atomic_store(&order->times, 0);
        return -1;
    }
    atomic_fetch_add(&order->dealt, 1);
    int manner = (int)atomic_load(&order->manner);
    if (manner == SLOW) {
        uint32_t ms = atomic_load(&order->delay_ms);
        struct timespec delay = {ms / 1000, (long)(ms % 1000) * 1000000};
        nanosleep(&delay, NULL);
    }
    return manner;
}

static int fails(int manner) {
    if (manner != FAIL && manner != TORN) return 0;
    errno = (int)atomic_load(&order->error);
    return 1;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPENS(symbol) \
    int symbol(const char *path, int flags, ...) { \
        MODE(flags) \
        REAL(int, #symbol, const char *, int, ...); \
        if (is_meant(OPEN) && path_is_below(AT_FDCWD, path) && fails(deal())) return -1; \
        return real(path, flags, mode); \
    }

#define OPENS_AT(symbol) \
    int symbol(int dir, const char *path, int flags, ...) { \
        MODE(flags) \
        REAL(int, #symbol, int, const char *, int, ...); \
        if (is_meant(OPEN) && path_is_below(dir, path) && fails(deal())) return -1; \
        return real(dir, path, flags, mode); \
    }

OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

#define OPENS_STREAM(symbol) \
    FILE *symbol(const char *path, const char *how) { \
        REAL(FILE *, #symbol, const char *, const char *); \
        if (is_meant(OPEN) && path_is_below(AT_FDCWD, path) && fails(deal())) return NULL; \
        return real(path, how); \
    }

OPENS_STREAM(fopen)
OPENS_STREAM(fopen64)

// A write of `length` bytes at a place, if the call has one.
#define WRITES(symbol, parameters, types, ...) \
    ssize_t symbol parameters { \
        REAL(ssize_t, #symbol, types); \
        if (is_meant(WRITE) && fd_is_below(fd)) { \
            int manner = deal(); \
            if ((manner == SHORT || manner == TORN) && length > 1) { \
                size_t whole = length; \
                length = whole / 2; \
                ssize_t done = real(__VA_ARGS__); \
                if (manner == SHORT || done < 0) return done; \
                length = whole; \
            } \
            if (fails(manner)) return -1; \
        } \
        return real(__VA_ARGS__); \
    }
#define TYPES(...) __VA_ARGS__

WRITES(write, (int fd, const void *bytes, size_t length), TYPES(int, const void *, size_t), fd, bytes, length)
WRITES(pwrite, (int fd, const void *bytes, size_t length, off_t at), TYPES(int, const void *, size_t, off_t), fd, bytes, length, at)
WRITES(pwrite64, (int fd, const void *bytes, size_t length, off64_t at), TYPES(int, const void *, size_t, off64_t), fd, bytes,
       length, at)

#define ON_FILE(answer, call, symbol, parameters, types, ...) \
    answer symbol parameters { \
        REAL(answer, #symbol, types); \
        if (is_meant(call) && fd_is_below(fd) && fails(deal())) return -1; \
        return real(__VA_ARGS__); \
    }

ON_FILE(ssize_t, WRITE, writev, (int fd, const struct iovec *parts, int count), TYPES(int, const struct iovec *, int), fd, parts,
        count)
ON_FILE(ssize_t, READ, pread, (int fd, void *bytes, size_t length, off_t at), TYPES(int, void *, size_t, off_t), fd, bytes,
        length, at)
ON_FILE(ssize_t, READ, pread64, (int fd, void *bytes, size_t length, off64_t at), TYPES(int, void *, size_t, off64_t), fd, bytes,
        length, at)
ON_FILE(int, SYNC, fsync, (int fd), TYPES(int), fd)
ON_FILE(int, SYNC, fdatasync, (int fd), TYPES(int), fd)
ON_FILE(int, SYNC, sync_file_range, (int fd, off64_t from, off64_t length, unsigned how),
        TYPES(int, off64_t, off64_t, unsigned), fd, from, length, how)
ON_FILE(int, TRUNCATE, ftruncate, (int fd, off_t length), TYPES(int, off_t), fd, length)
ON_FILE(int, TRUNCATE, ftruncate64, (int fd, off64_t length), TYPES(int, off64_t), fd, length)
ON_FILE(int, ALLOCATE, fallocate, (int fd, int how, off_t from, off_t length), TYPES(int, int, off_t, off_t), fd, how, from,
        length)
ON_FILE(int, ALLOCATE, fallocate64, (int fd, int how, off64_t from, off64_t length), TYPES(int, int, off64_t, off64_t), fd, how,
        from, length)

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (is_meant(RENAME) && path_is_below(AT_FDCWD, to) && fails(deal())) return -1;
    return real(from, to);
}

#define ON_PATH(call, symbol, parameters, types, ...) \
    int symbol parameters { \
        REAL(int, #symbol, types); \
        if (is_meant(call) && path_is_below(AT_FDCWD, path) && fails(deal())) return -1; \
        return real(__VA_ARGS__); \
    }

ON_PATH(REMOVE, unlink, (const char *path), TYPES(const char *), path)
ON_PATH(OPEN, mkdir, (const char *path, mode_t mode), TYPES(const char *, mode_t), path, mode)
