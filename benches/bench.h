/* What the C programs of the benches share: a clock, requests and answers. */

#ifndef BENCH_H
#define BENCH_H

#include <chunked_upload.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CHECK(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static void fail(const char *condition, int line)
{
    fprintf(stderr, "line %d: not true: %s\n", line, condition);
    perror("perhaps");
    exit(1);
}

static inline long long nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline long long wall(void)
{
    return nanoseconds(CLOCK_MONOTONIC);
}

static inline long long cpu(void)
{
    return nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
}

#endif
