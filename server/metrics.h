/* SPDX-License-Identifier: MIT
 * metrics.h: counts and latencies.
 *
 * Each thread writes its own set, with plain relaxed stores, on cache lines nobody else writes;
 * whoever wants the sum adds them up. Latencies go into histograms of 64 log-linear buckets a
 * power of two ... see metrics.c: error below 4%. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include <stdint.h>

struct metrics;

enum metric {
    METRIC_COMMANDS,
    METRIC_CONNECTIONS,
    METRIC_REJECTED_CONNECTIONS,
    METRIC_BYTES_IN,
    METRIC_BYTES_OUT,
    METRIC_KEYSPACE_HITS,
    METRIC_KEYSPACE_MISSES,
    METRIC_EXPIRED_KEYS,
    METRIC_ERRORS,
    METRIC_PROTOCOL_ERRORS,
    METRIC_AUTH_FAILURES,
    METRIC_ACL_DENIED,
    METRIC_PUBLISHED,
    METRIC_COMMITS,
    METRIC_COMMIT_WRITES,
    METRIC_OUTPUT_LIMIT_CLOSES,
    METRIC_IDLE_CLOSES,
    METRIC_HTTP_REQUESTS,
    METRIC_PIPELINED,
    METRIC_COUNT,
};

struct metrics *metrics_new(unsigned slots, unsigned commands);
void metrics_free(struct metrics *metrics);
void metrics_reset(struct metrics *metrics); /* CONFIG RESETSTAT */

void metrics_add(struct metrics *metrics, unsigned slot, enum metric metric, uint64_t count);
/* One call of a command: its duration; whether it failed while running, or was rejected before. */
enum metrics_outcome { METRICS_OK, METRICS_FAILED, METRICS_REJECTED };
void metrics_command(struct metrics *metrics, unsigned slot, unsigned command, uint64_t ns,
                     enum metrics_outcome outcome);

/* The same for `count` good calls that took as long each. */
void metrics_commands(struct metrics *metrics, unsigned slot, unsigned command, uint64_t ns,
                      uint64_t count);

/* An error reply, by its first word ("ERR", "NOAUTH"); those that are not known count as "OTHER".
 */
void metrics_error(struct metrics *metrics, unsigned slot, const char *text);
/* How many of the code of that number there were; its name, NULL past the last. */
uint64_t metrics_errors(const struct metrics *metrics, unsigned code);
const char *metrics_error_name(unsigned code);

uint64_t metrics_sum(const struct metrics *metrics, enum metric metric);

/* Commands a second since this was asked last (at least 100 ms ago). */
uint64_t metrics_rate(struct metrics *metrics, uint64_t now_us);

struct metrics_calls {
    uint64_t calls, failed, rejected, ns;
};
struct metrics_calls metrics_of_command(const struct metrics *metrics, unsigned command);

/* Latency of all commands together, or of one: copied sums, for quantiles and Prometheus. */
enum { METRICS_ALL_COMMANDS = -1 };
struct metrics_histogram {
    uint64_t count, sum_ns, max_ns;
    uint64_t buckets[1024];
};
void metrics_latency(const struct metrics *metrics, int command, struct metrics_histogram *sum);
uint64_t metrics_quantile_ns(const struct metrics_histogram *histogram, double quantile);
uint64_t metrics_bucket_limit_ns(unsigned bucket); /* the highest value that falls into it */

#endif
