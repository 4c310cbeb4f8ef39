/* SPDX-License-Identifier: MIT
 * bench.c: the command bench: how fast a store is here.
 *
 * It runs on a store of its own, in a directory that it makes and removes. */
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "keys.h"
#include "workload.h"

enum {
    OPT_KEYS,
    OPT_OPERATIONS,
    OPT_KEY_SIZE,
    OPT_VALUE_SIZE,
    OPT_THREADS,
    OPT_BATCH,
    OPT_SEED,
    OPT_DIR,
    OPT_KEEP,
};

struct bench {
    struct cli *cli;
    struct bench_setup setup;
    uint8_t *values;
    char *directory;
    bitcask *db;
    bool filled;
    bool keep;
    bool heading; /* of the table has been printed */
};

/* A signal handler has nothing but globals to talk to. */
static atomic_bool interrupted;

static void on_interrupt(int number)
{
    (void)number;
    atomic_store(&interrupted, true);
}

/* ---- The store ----------------------------------------------------------------------------- */

/* Where the store is to be: as --dir says, or a new name beside the store that -d names. */
static char *directory_name(struct bench *bench, const struct cli_args *args)
{
    if (args->options[OPT_DIR].set)
        return strdup(args->options[OPT_DIR].text);
    char *name = NULL;
    char *copy = strdup(bench->cli->directory);
    if (copy != NULL && asprintf(&name, "%s/bitcask-bench-XXXXXX", dirname(copy)) < 0)
        name = NULL;
    free(copy);
    return name;
}

/* The directory must not be there yet: what is in it at the end is this run's. */
static int make_directory(struct bench *bench, const struct cli_args *args)
{
    bool named = args->options[OPT_DIR].set;
    char *name = directory_name(bench, args);
    if (name == NULL)
        return cli_fail_text(bench->cli, CLI_STORE, "bench: out of memory");
    if (named ? mkdir(name, 0700) == 0 : mkdtemp(name) != NULL) {
        bench->directory = name;
        return CLI_DONE;
    }
    int exit_code = named ? cli_fail_errno(bench->cli, "bench: --dir %s must be made anew", name)
                          : cli_fail_errno(bench->cli, "bench: make %s (use --dir)", name);
    free(name);
    return exit_code;
}

static int close_store(struct bench *bench, int exit_code)
{
    bitcask *db = bench->db;
    bench->db = NULL;
    bench->filled = false;
    return db == NULL ? exit_code : cli_close_store(bench->cli, db, exit_code);
}

/* An empty store for a fill. */
static int renew_store(struct bench *bench)
{
    bitcask_error error;
    if (bench->db != NULL) {
        int exit_code = close_store(bench, CLI_DONE);
        if (exit_code != CLI_DONE)
            return exit_code;
        bitcask_status status = bitcask_destroy(bench->directory, &error);
        if (status != BITCASK_OK)
            return cli_fail(bench->cli, status, &error);
    }
    return cli_open_store_at(bench->cli, bench->directory, CLI_BULK, &bench->db);
}

/* The directory was made by this run, so what is in it is the store's. */
static int remove_directory(struct bench *bench, int exit_code)
{
    bitcask_error error;
    if (bench->directory == NULL)
        return exit_code;
    if (bench->keep) {
        cli_remark(bench->cli, "the store is kept in %s", bench->directory);
    } else {
        bitcask_status status = bitcask_destroy(bench->directory, &error);
        (void)rmdir(bench->directory); /* in case no store was ever made in it */
        if (status < 0 && status != BITCASK_NO_STORE && exit_code == CLI_DONE)
            exit_code = cli_fail(bench->cli, status, &error);
    }
    free(bench->directory);
    return exit_code;
}

/* ---- Results ------------------------------------------------------------------------------- */

struct figures {
    double operations_per_s, mb_per_s, operation_ns, harness_ns, index_bytes;
};

static double divide(double amount, double by)
{
    return by > 0 ? amount / by : 0;
}

static struct figures figures_of(struct bench *bench, const struct bench_result *result,
                                 double harness_ns)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(bench->db, &stats);
    return (struct figures){
        .operations_per_s = divide((double)result->operations, result->seconds),
        .mb_per_s = divide((double)result->bytes / 1e6, result->seconds),
        .operation_ns = divide(result->seconds * 1e9, (double)result->operations),
        .harness_ns = harness_ns,
        .index_bytes = divide((double)stats.index_bytes, (double)stats.keys),
    };
}

static const char *sync_name(const struct cli *cli)
{
    static const char *const names[] = {
        [BITCASK_SYNC_DEFAULT] = "interval",
        [BITCASK_SYNC_NONE] = "none",
        [BITCASK_SYNC_INTERVAL] = "interval",
        [BITCASK_SYNC_ALWAYS] = "always",
    };
    return names[cli->sync_given ? cli->options.sync : BITCASK_SYNC_INTERVAL];
}

static void print_json(struct bench *bench, enum bench_workload workload,
                       const struct bench_result *result, const struct figures *figures)
{
    const struct bench_setup *setup = &bench->setup;
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "workload", bench_workload_names[workload]);
    cli_json_text(&json, "engine", setup->engine->name);
    cli_json_uint(&json, "keys", setup->keys);
    cli_json_uint(&json, "key_size", setup->key_size);
    cli_json_uint(&json, "value_size", setup->value_size);
    cli_json_uint(&json, "threads", setup->threads);
    cli_json_uint(&json, "batch", setup->batch);
    cli_json_text(&json, "sync", sync_name(bench->cli));
    cli_json_uint(&json, "operations", result->operations);
    cli_json_number(&json, "seconds", result->seconds);
    cli_json_number(&json, "operations_per_s", figures->operations_per_s);
    cli_json_number(&json, "mb_per_s", figures->mb_per_s);
    cli_json_number(&json, "operation_ns", figures->operation_ns);
    cli_json_number(&json, "harness_ns", figures->harness_ns);
    cli_json_uint(&json, "p50_ns", result->p50_ns);
    cli_json_uint(&json, "p90_ns", result->p90_ns);
    cli_json_uint(&json, "p99_ns", result->p99_ns);
    cli_json_uint(&json, "p999_ns", result->p999_ns);
    cli_json_uint(&json, "max_ns", result->max_ns);
    cli_json_uint(&json, "writer_operations", result->writer_operations);
    cli_json_number(&json, "index_bytes_per_key", figures->index_bytes);
    cli_json_end(&json);
}

static const char *nanoseconds(char to[CLI_UNIT_SIZE], uint64_t ns)
{
    if (ns < 10000)
        snprintf(to, CLI_UNIT_SIZE, "%" PRIu64 " ns", ns);
    else if (ns < 10000000)
        snprintf(to, CLI_UNIT_SIZE, "%" PRIu64 " us", ns / 1000);
    else
        snprintf(to, CLI_UNIT_SIZE, "%" PRIu64 " ms", ns / 1000000);
    return to;
}

static void print_heading(struct bench *bench)
{
    const struct bench_setup *setup = &bench->setup;
    char keys[CLI_UNIT_SIZE];
    bench->heading = true;
    printf("%s keys of %zu bytes, values of %zu; %u thread%s; batch %" PRIu64 "; sync %s; in %s\n",
           cli_count_text(keys, setup->keys), setup->key_size, setup->value_size, setup->threads,
           setup->threads == 1 ? "" : "s", setup->batch, sync_name(bench->cli), bench->directory);
    printf("%s%-20s%12s%10s%9s%11s%11s%11s%11s%11s%13s%s\n", cli_style(bench->cli, CLI_BOLD),
           "workload", "ops/s", "ns/op", "MB/s", "p50", "p90", "p99", "p99.9", "max", "index B/key",
           cli_style(bench->cli, CLI_PLAIN));
}

static void print_row(struct bench *bench, enum bench_workload workload,
                      const struct bench_result *result, const struct figures *figures)
{
    char t[5][CLI_UNIT_SIZE], rate[CLI_UNIT_SIZE];
    if (!bench->heading)
        print_heading(bench);
    printf("%-20s%12s%10.0f%9.1f%11s%11s%11s%11s%11s%13.1f\n", bench_workload_names[workload],
           cli_count_text(rate, (uint64_t)figures->operations_per_s), figures->operation_ns,
           figures->mb_per_s, nanoseconds(t[0], result->p50_ns), nanoseconds(t[1], result->p90_ns),
           nanoseconds(t[2], result->p99_ns), nanoseconds(t[3], result->p999_ns),
           nanoseconds(t[4], result->max_ns), figures->index_bytes);
    if (workload == BENCH_READ_WHILE_WRITING)
        printf("%-20s%12s\n", "  the writer",
               cli_count_text(
                   rate, (uint64_t)divide((double)result->writer_operations, result->seconds)));
    fflush(stdout);
}

/* ---- Running ------------------------------------------------------------------------------- */

/* What the same loop costs with nothing behind it. */
static double measure_harness(struct bench *bench, enum bench_workload workload)
{
    enum { HARNESS_OPERATIONS = 1000000 };
    struct bench_setup setup = bench->setup;
    struct bench_result result;
    setup.engine = &bench_empty_engine;
    if (bench_is_fill(workload) || bench_is_delete(workload))
        setup.keys = HARNESS_OPERATIONS;
    setup.operations = HARNESS_OPERATIONS;
    setup.threads = 1;
    if (workload == BENCH_SCAN || workload == BENCH_READ_WHILE_WRITING ||
        !bench_run(&setup, workload, &result))
        return 0;
    return divide(result.seconds * 1e9, (double)result.operations);
}

static int run_once(struct bench *bench, enum bench_workload workload, bool shown)
{
    struct bench_result result;
    bench->setup.store = bench->db;
    if (!bench_run(&bench->setup, workload, &result))
        return cli_fail_text(bench->cli, CLI_STORE, "bench: %s: out of memory",
                             bench_workload_names[workload]);
    if (result.status < 0)
        return cli_fail(bench->cli, (bitcask_status)result.status, NULL);
    if (atomic_load(&interrupted))
        return cli_fail_text(bench->cli, CLI_STORE, "bench: interrupted");
    if (result.unexpected > 0)
        return cli_fail_text(bench->cli, CLI_CORRUPT,
                             "bench: %s: %" PRIu64 " answers were not as expected",
                             bench_workload_names[workload], result.unexpected);
    if (!shown)
        return CLI_DONE;
    struct figures figures = figures_of(bench, &result, measure_harness(bench, workload));
    if (bench->cli->json)
        print_json(bench, workload, &result, &figures);
    else
        print_row(bench, workload, &result, &figures);
    return CLI_DONE;
}

static int run_workload(struct bench *bench, enum bench_workload workload)
{
    int exit_code = CLI_DONE;
    if (bench_is_fill(workload) || !bench->filled)
        exit_code = renew_store(bench);
    if (exit_code == CLI_DONE && !bench_is_fill(workload) && !bench->filled)
        exit_code = run_once(bench, BENCH_FILL, false);
    if (exit_code == CLI_DONE)
        exit_code = run_once(bench, workload, true);
    bench->filled = exit_code == CLI_DONE && !bench_is_delete(workload);
    return exit_code;
}

static int run_workloads(struct bench *bench, const enum bench_workload *workloads, size_t count)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int exit_code = CLI_DONE;
    for (size_t i = 0; exit_code == CLI_DONE && i < count; i++)
        exit_code = run_workload(bench, workloads[i]);
    return close_store(bench, exit_code);
}

/* ---- The command --------------------------------------------------------------------------- */

static uint64_t number_or(const struct cli_value *value, uint64_t otherwise)
{
    return value->set ? value->number : otherwise;
}

static int read_options(struct bench *bench, const struct cli_args *args)
{
    const struct cli_value *given = args->options;
    struct bench_setup *setup = &bench->setup;
    uint64_t threads = number_or(&given[OPT_THREADS], 1);
    setup->engine = &bench_bitcask_engine;
    setup->keys = number_or(&given[OPT_KEYS], 1000000);
    setup->operations = number_or(&given[OPT_OPERATIONS], 0);
    setup->key_size = number_or(&given[OPT_KEY_SIZE], 16);
    setup->value_size = number_or(&given[OPT_VALUE_SIZE], 100);
    setup->batch = number_or(&given[OPT_BATCH], 1);
    setup->seed = number_or(&given[OPT_SEED], 1);
    setup->stop = &interrupted;
    bench->keep = given[OPT_KEEP].set;
    if (setup->key_size < BENCH_KEY_SIZE_MIN || setup->key_size > BITCASK_MAX_KEY_SIZE)
        return cli_fail_usage(bench->cli, "--key-size: from %d to %u bytes", BENCH_KEY_SIZE_MIN,
                              BITCASK_MAX_KEY_SIZE);
    if (setup->keys == 0 || setup->keys > UINT64_C(1) << 40 ||
        (setup->key_size < 8 && 2 * setup->keys > UINT64_C(1) << 8 * setup->key_size))
        return cli_fail_usage(bench->cli, "--keys: at least 1, and fewer than --key-size can tell");
    if (setup->value_size > BITCASK_MAX_VALUE_SIZE)
        return cli_fail_usage(bench->cli, "--value-size: at most 1 GiB");
    if (threads == 0 || threads > BENCH_THREADS_MAX)
        return cli_fail_usage(bench->cli, "--threads: from 1 to %d", BENCH_THREADS_MAX);
    if (setup->batch == 0 || setup->batch > UINT64_C(1) << 30)
        return cli_fail_usage(bench->cli, "--batch: at least 1");
    setup->threads = (unsigned)threads;
    return CLI_DONE;
}

static const enum bench_workload usual[] = {
    BENCH_FILL,         BENCH_READ,      BENCH_READ_SEQ,           BENCH_READ_MANY,
    BENCH_MISSING_KEYS, BENCH_OVERWRITE, BENCH_READ_WHILE_WRITING, BENCH_SCAN,
    BENCH_DELETE,
};

static int read_workloads(struct bench *bench, const struct cli_args *args,
                          enum bench_workload *workloads)
{
    for (size_t i = 0; i < args->operand_count; i++) {
        unsigned w = 0;
        while (w < BENCH_WORKLOADS && strcmp(bench_workload_names[w], args->operands[i]) != 0)
            w++;
        if (w == BENCH_WORKLOADS)
            return cli_fail_usage(bench->cli, "unknown workload '%s'", args->operands[i]);
        if (w == BENCH_READ_ZIPF && bench->setup.keys > UINT32_MAX)
            return cli_fail_usage(bench->cli, "read-zipf: at most 4294967295 keys");
        workloads[i] = (enum bench_workload)w;
    }
    return CLI_DONE;
}

static int make_values(struct bench *bench)
{
    size_t size = BENCH_VALUE_POOL_SIZE + bench->setup.value_size;
    size_t words = size / 8 + 1;
    uint64_t *values = malloc(8 * words);
    if (values == NULL)
        return cli_fail_text(bench->cli, CLI_STORE, "bench: out of memory");
    struct bench_random random;
    bench_random_init(&random, bench->setup.seed);
    for (size_t i = 0; i < words; i++)
        values[i] = bench_random_next(&random);
    bench->values = (uint8_t *)values;
    bench->setup.values = bench->values;
    return CLI_DONE;
}

static int run_bench(struct cli *cli, const struct cli_args *args)
{
    enum bench_workload workloads[64];
    struct bench bench = {.cli = cli};
    if (args->operand_count > sizeof workloads / sizeof workloads[0])
        return cli_fail_usage(cli, "bench: too many workloads");
    int exit_code = read_options(&bench, args);
    if (exit_code == CLI_DONE)
        exit_code = read_workloads(&bench, args, workloads);
    if (exit_code == CLI_DONE)
        exit_code = make_values(&bench);
    if (exit_code == CLI_DONE)
        exit_code = make_directory(&bench, args);
    if (exit_code == CLI_DONE) {
        bool given = args->operand_count > 0;
        exit_code = run_workloads(&bench, given ? workloads : usual,
                                  given ? args->operand_count : sizeof usual / sizeof usual[0]);
        exit_code = remove_directory(&bench, exit_code);
    }
    free(bench.values);
    return exit_code;
}

static const struct cli_option options[] = {
    [OPT_KEYS] = {"keys", 'n', CLI_UINT, "N", "keys in the store (1000000)"},
    [OPT_OPERATIONS] = {"operations", 0, CLI_UINT, "N",
                        "reads and overwrites to do (as many as keys)"},
    [OPT_KEY_SIZE] = {"key-size", 0, CLI_SIZE, "BYTES", "of each key (16)"},
    [OPT_VALUE_SIZE] = {"value-size", 0, CLI_SIZE, "BYTES", "of each value (100)"},
    [OPT_THREADS] = {"threads", 't', CLI_UINT, "N", "threads that share the work (1)"},
    [OPT_BATCH] = {"batch", 'b', CLI_UINT, "N", "writes per write batch, reads per read-many"},
    [OPT_SEED] = {"seed", 0, CLI_UINT, "N", "of the random order (1)"},
    [OPT_DIR] = {"dir", 0, CLI_TEXT, "DIR",
                 "make the store there; it must not exist (default: beside the store of -d)"},
    [OPT_KEEP] = {"keep", 0, CLI_FLAG, NULL, "leave the store there"},
    {0},
};

const struct cli_command cli_command_bench = {
    .name = "bench",
    .summary = "measure how fast a store is here",
    .usage = "[WORKLOAD...]",
    .details =
        "Workloads, in the order given (default: a choice of them):\n"
        "  fill, fill-seq             put every key once, into an empty store\n"
        "  read, read-seq             get keys that are there; random ones, or in order\n"
        "  read-zipf                  the same, some keys much more often than others\n"
        "  view                       look at values in place, without a copy\n"
        "  read-many                  the same, 64 (or --batch) random keys in one call\n"
        "  missing                    get keys that are not there\n"
        "  overwrite, overwrite-seq   put keys that are there\n"
        "  read-while-writing         --threads readers beside one writer\n"
        "  scan                       iterate over all keys and values\n"
        "  delete, delete-seq         delete every key\n"
        "Those that need a full store fill one first. Percentiles are of calls: with --batch, of\n"
        "a whole batch. harness_ns, in the JSON, is what the measuring itself adds to each\n"
        "operation; it is not taken off. No store but its own is touched.\n",
    .examples = "bitcask bench --keys 10000\n"
                "bitcask --json bench --keys 1000 --sync always fill\n",
    .options = options,
    .operands_max = CLI_ANY,
    .run = run_bench,
};
