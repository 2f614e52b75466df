// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

// Makes calls on files fail as a test asks: preloaded into a server (LD_PRELOAD), told what to do through a file that both map.
//
//   FNSTREAM_FAULTS_FOLDER    only files below this folder are meant
//   FNSTREAM_FAULTS_ORDER     the file with the order, which the test writes at any time; see `struct order`
//
// A call that is meant is counted. It passes as long as `skip` is not used up, then is dealt with as `manner` says, as long as
// `times` is not used up. Nothing is left to chance here: whoever wants chance draws `skip`.
//
//   FNSTREAM_FAULTS_TRAP      if it is set, opens, syncs, renames, links and removals are met below the C library, where the kernel is
//                             asked: a program that asks the kernel by itself passes the C library by. A process that is started by such a server
//                             cannot open anything, so it compiles no functions.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
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

static int trapping;
static void trap(void);

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
    if (order && getenv("FNSTREAM_FAULTS_TRAP")) trap();
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

// Whether such calls are meant at all at the moment: cheap, for all the calls that are not. What is met in the kernel is not met here.
static int is_meant(uint32_t call) {
    return order && (atomic_load(&order->calls) & call) && !(trapping && (call & (OPEN | SYNC | RENAME | REMOVE)));
}

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

// Below the C library: the kernel hands the calls of a list to `trapped`, but for those that `pass` makes.
#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#define NUMBER(context) (context)->uc_mcontext.gregs[REG_RAX]
#define ANSWER(context) (context)->uc_mcontext.gregs[REG_RAX]
#define ARGUMENTS(context) \
    {(context)->uc_mcontext.gregs[REG_RDI], (context)->uc_mcontext.gregs[REG_RSI], (context)->uc_mcontext.gregs[REG_RDX], \
     (context)->uc_mcontext.gregs[REG_R10], (context)->uc_mcontext.gregs[REG_R8]}
// (number, five arguments)
__asm__(
    ".text\n.type pass, @function\npass:\n"
    "mov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\nmov %rcx, %rdx\nmov %r8, %r10\nmov %r9, %r8\nsyscall\n"
    "passed: ret\n");
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#define NUMBER(context) (context)->uc_mcontext.regs[8]
#define ANSWER(context) (context)->uc_mcontext.regs[0]
#define ARGUMENTS(context) \
    {(context)->uc_mcontext.regs[0], (context)->uc_mcontext.regs[1], (context)->uc_mcontext.regs[2], \
     (context)->uc_mcontext.regs[3], (context)->uc_mcontext.regs[4]}
__asm__(
    ".text\n.type pass, @function\npass:\n"
    "mov x8, x0\nmov x0, x1\nmov x1, x2\nmov x2, x3\nmov x3, x4\nmov x4, x5\nsvc #0\n"
    "passed: ret\n");
#else
#error "calls of the kernel cannot be met on this machine"
#endif
extern long pass(long number, long a, long b, long c, long d, long e) __attribute__((visibility("hidden")));
extern char passed[] __attribute__((visibility("hidden")));

// What is met of a call: a place that is named by a folder and a path, by a path alone, or that is open.
struct met {
    long number;
    uint32_t call;
    int folder, path;  // the arguments; -1 = none
};

// Of two names the new one counts.
static const struct met met[] = {
    {SYS_openat, OPEN, 0, 1},       {SYS_mkdirat, OPEN, 0, 1},      {SYS_fsync, SYNC, 0, -1},   {SYS_fdatasync, SYNC, 0, -1},
    {SYS_unlinkat, REMOVE, 0, 1},   {SYS_renameat, RENAME, 2, 3},   {SYS_renameat2, RENAME, 2, 3}, {SYS_linkat, RENAME, 2, 3},
#ifdef SYS_open
    {SYS_open, OPEN, -1, 0},        {SYS_mkdir, OPEN, -1, 0},       {SYS_unlink, REMOVE, -1, 0}, {SYS_rename, RENAME, -1, 1},
#endif
};
enum { MET = sizeof met / sizeof *met };

static int is_dealt_with(const struct met *kind, const long *given) {
    if (!(atomic_load(&order->calls) & kind->call)) return 0;
    int dir = kind->folder < 0 ? AT_FDCWD : (int)given[kind->folder];
    int is_meant = kind->path < 0 ? fd_is_below(dir) : path_is_below(dir, (const char *)given[kind->path]);
    return is_meant && fails(deal());
}

static void trapped(int signal, siginfo_t *info, void *opaque) {
    (void)signal, (void)info;
    ucontext_t *context = opaque;
    long number = (long)NUMBER(context), given[] = ARGUMENTS(context);
    const struct met *kind = met;
    while (kind->number != number) kind++;
    int saved = errno;
    if (is_dealt_with(kind, given)) {
        ANSWER(context) = -(long)atomic_load(&order->error);
    } else {
        ANSWER(context) = pass(number, given[0], given[1], given[2], given[3], given[4]);
    }
    errno = saved;
}

static void trap(void) {
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    uint64_t own = (uint64_t)(uintptr_t)passed;
    enum { HEAD = 7, ALLOW = HEAD + MET, TRAP };
#define FIELD(name, more) (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name) + more)
#define IF(at, value, yes, no) \
    (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), yes - (at + 1), no - (at + 1))
    struct sock_filter filter[] = {
        [0] = FIELD(arch, 0),
        [1] = IF(1, NATIVE, 2, ALLOW),
        [2] = FIELD(instruction_pointer, 0),
        [3] = IF(3, own, 4, 6),
        [4] = FIELD(instruction_pointer, 4),
        [5] = IF(5, own >> 32, ALLOW, 6),
        [6] = FIELD(nr, 0),
        [ALLOW] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        [TRAP] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    for (int at = 0; at < MET; at++) filter[HEAD + at] = IF((HEAD + at), met[at].number, TRAP, (HEAD + at + 1));
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    sigaction(SIGSYS, &action, NULL);
    // What cannot be met must not pass for a fault that nobody meets.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) abort();
    trapping = 1;
}
