/* SPDX-License-Identifier: MIT
 * options.c: defaults of every options struct, reading them across versions of the header, and the
 * one table of a store's options by name. */
#include <limits.h>
#include <stdio.h>

#include "api/api.h"
#include "base/check.h"

enum { SYNC_INTERVAL_DEFAULT_MS = 1000, SYNC_INTERVAL_MAX_MS = 24 * 60 * 60 * 1000 };
#define SEGMENT_SIZE_DEFAULT (256ull << 20) /* bytes */
#define INDEX_SNAPSHOT_BYTES_DEFAULT (16ull << 20)

/* A third of what a hard disk does in sequence, an eighth of a SATA SSD. With a write amplification
 * of 2 three bytes are moved for each byte that goes to the log: enough for 20 MB/s of overwriting.
 * Beyond that the store passes its trigger, where the limit gives way. */
#define MERGE_BYTES_PER_S_DEFAULT (64ull << 20)

enum { MERGE_DELAY_DEFAULT_MS = 30 * 1000, MERGE_DELAY_MAX_MS = 24 * 60 * 60 * 1000 };
static const double MERGE_TRIGGER_DEFAULT = 0.5, MERGE_TRIGGER_MIN = 0.05, MERGE_TRIGGER_MAX = 0.95;

/* ---- Defaults ------------------------------------------------------------------------------- */

/* Of a caller's struct, which may be shorter or longer than ours. */
static void init_struct(void *given, size_t given_size, const void *defaults, size_t size)
{
    memset(given, 0, given_size);
    memcpy(given, defaults, given_size < size ? given_size : size);
    if (given_size >= sizeof given_size)
        memcpy(given, &given_size, sizeof given_size);
}

void bitcask_options_init_sized(bitcask_options *options, size_t size)
{
    const bitcask_options defaults = {
        .create = 1,
        .verify_reads = 1,
        .sync = BITCASK_SYNC_INTERVAL,
        .sync_interval_ms = SYNC_INTERVAL_DEFAULT_MS,
        .segment_size = SEGMENT_SIZE_DEFAULT,
        .log_level = BITCASK_LOG_INFO,
        .index_snapshot = 1,
        .index_snapshot_bytes = INDEX_SNAPSHOT_BYTES_DEFAULT,
        .merge = 1,
        .merge_trigger = MERGE_TRIGGER_DEFAULT,
        .merge_bytes_per_s = MERGE_BYTES_PER_S_DEFAULT,
        .merge_delay_ms = MERGE_DELAY_DEFAULT_MS,
    };
    init_struct(options, size, &defaults, sizeof defaults);
}

void bitcask_write_options_init_sized(bitcask_write_options *options, size_t size)
{
    const bitcask_write_options defaults = {0};
    init_struct(options, size, &defaults, sizeof defaults);
}

void bitcask_read_options_init_sized(bitcask_read_options *options, size_t size)
{
    const bitcask_read_options defaults = {0};
    init_struct(options, size, &defaults, sizeof defaults);
}

void bitcask_merge_options_init_sized(bitcask_merge_options *options, size_t size)
{
    const bitcask_merge_options defaults = {.min_dead = 0.4};
    init_struct(options, size, &defaults, sizeof defaults);
}

void bitcask_verify_options_init_sized(bitcask_verify_options *options, size_t size)
{
    const bitcask_verify_options defaults = {0};
    init_struct(options, size, &defaults, sizeof defaults);
}

void bitcask_repair_options_init_sized(bitcask_repair_options *options, size_t size)
{
    const bitcask_repair_options defaults = {.log_level = BITCASK_LOG_INFO};
    init_struct(options, size, &defaults, sizeof defaults);
}

void bitcask_salvage_options_init_sized(bitcask_salvage_options *options, size_t size)
{
    const bitcask_salvage_options defaults = {0};
    init_struct(options, size, &defaults, sizeof defaults);
}

void bitcask_backup_options_init_sized(bitcask_backup_options *options, size_t size)
{
    const bitcask_backup_options defaults = {0};
    init_struct(options, size, &defaults, sizeof defaults);
}

/* ---- Structs of another version's size ------------------------------------------------------ */

bitcask_status api_read_struct(void *full, size_t full_size, const void *given, const char *name,
                               bitcask_error *error)
{
    if (given == NULL)
        return BITCASK_OK;
    size_t given_size;
    memcpy(&given_size, given, sizeof given_size);
    if (given_size < sizeof given_size)
        return error_set(error, BITCASK_INVALID, "%s: struct_size is not set; call %s_init", name,
                         name);
    const unsigned char *bytes = given;
    for (size_t i = full_size; i < given_size; i++) {
        if (bytes[i] != 0)
            return error_set(error, BITCASK_INVALID,
                             "%s: an option is set that this library (%s) does not know", name,
                             BITCASK_VERSION_STRING);
    }
    memcpy(full, given, given_size < full_size ? given_size : full_size);
    memcpy(full, &full_size, sizeof full_size);
    return BITCASK_OK;
}

void api_write_struct(void *given, const void *full, size_t full_size)
{
    size_t given_size;
    memcpy(&given_size, given, sizeof given_size);
    if (given_size <= sizeof given_size)
        return;
    size_t known = given_size < full_size ? given_size : full_size;
    memset(given, 0, given_size);
    memcpy(given, full, known);
    memcpy(given, &given_size, sizeof given_size);
}

/* ---- Checks --------------------------------------------------------------------------------- */

static bitcask_status out_of_range(const char *name, uint64_t value, const char *range,
                                   bitcask_error *error)
{
    return error_set(error, BITCASK_INVALID, "option %s: %llu is out of range (%s)", name,
                     (unsigned long long)value, range);
}

static bitcask_status check_options(const bitcask_options *options, bitcask_error *error)
{
    if (options->sync < BITCASK_SYNC_DEFAULT || options->sync > BITCASK_SYNC_ALWAYS)
        return out_of_range("sync", (uint64_t)options->sync, "bitcask_sync", error);
    if (options->background < BITCASK_BACKGROUND_THREAD ||
        options->background > BITCASK_BACKGROUND_NONE)
        return out_of_range("background", (uint64_t)options->background, "bitcask_background",
                            error);
    if (options->log_level < BITCASK_LOG_DEFAULT || options->log_level > BITCASK_LOG_OFF)
        return out_of_range("log-level", (uint64_t)options->log_level, "bitcask_log_level", error);
    if (options->sync_interval_ms > SYNC_INTERVAL_MAX_MS)
        return out_of_range("sync-interval", options->sync_interval_ms, "1ms to 24h", error);
    if (options->segment_size < BITCASK_MIN_SEGMENT_SIZE ||
        options->segment_size > BITCASK_MAX_SEGMENT_SIZE)
        return out_of_range("segment-size", options->segment_size, "64K to 4G", error);
    if (!(options->merge_trigger >= MERGE_TRIGGER_MIN &&
          options->merge_trigger <= MERGE_TRIGGER_MAX))
        return error_set(error, BITCASK_INVALID,
                         "option merge-trigger: it is a share from 5%% to 95%%");
    if (options->merge_delay_ms > MERGE_DELAY_MAX_MS)
        return out_of_range("merge-delay", options->merge_delay_ms, "0ms to 24h", error);
    struct merge_window window;
    if (memchr(options->merge_window, 0, sizeof options->merge_window) == NULL ||
        !merge_window_parse(options->merge_window, &window))
        return error_set(error, BITCASK_INVALID,
                         "option merge-window: it is hours such as 22-06, or empty");
    if (options->max_disk_bytes != 0 && options->max_disk_bytes < QUOTA_DISK_MIN)
        return out_of_range("max-disk-bytes", options->max_disk_bytes, "0, or 1M at least", error);
    if (options->max_index_bytes != 0 && options->max_index_bytes < QUOTA_INDEX_MIN)
        return out_of_range("max-index-bytes", options->max_index_bytes, "0, or 64K at least",
                            error);
    if (options->eviction < BITCASK_EVICT_NONE || options->eviction > BITCASK_EVICT_EXPIRING)
        return out_of_range("eviction", (uint64_t)options->eviction, "bitcask_eviction", error);
    if (options->read_ahead < BITCASK_READ_AHEAD_AUTO ||
        options->read_ahead > BITCASK_READ_AHEAD_OFF)
        return out_of_range("read-ahead", (uint64_t)options->read_ahead, "bitcask_read_ahead",
                            error);
    if (options->follow && options->in_memory)
        return error_set(error, BITCASK_INVALID, "a store in memory has nobody to follow it");
    if ((options->allocator.alloc == NULL) != (options->allocator.free == NULL))
        return error_set(error, BITCASK_INVALID,
                         "the allocator needs both functions, alloc and free");
    return BITCASK_OK;
}

bitcask_status api_read_options(const bitcask_options *given, bitcask_options *full,
                                bitcask_error *error)
{
    bitcask_options_init(full);
    bitcask_status status = api_read_struct(full, sizeof *full, given, "bitcask_options", error);
    if (status != BITCASK_OK)
        return status;
    if (full->sync == BITCASK_SYNC_DEFAULT)
        full->sync = BITCASK_SYNC_INTERVAL;
    if (full->sync_interval_ms == 0)
        full->sync_interval_ms = SYNC_INTERVAL_DEFAULT_MS;
    if (full->segment_size == 0)
        full->segment_size = SEGMENT_SIZE_DEFAULT;
    if (full->index_snapshot_bytes == 0)
        full->index_snapshot_bytes = INDEX_SNAPSHOT_BYTES_DEFAULT;
    if (full->merge_trigger == 0)
        full->merge_trigger = MERGE_TRIGGER_DEFAULT;
    if (full->log_level == BITCASK_LOG_DEFAULT)
        full->log_level = BITCASK_LOG_INFO;
    return check_options(full, error);
}

bitcask_status api_read_write_options(const bitcask_write_options *given,
                                      bitcask_write_options *full, bitcask_error *error)
{
    bitcask_write_options_init(full);
    bitcask_status status =
        api_read_struct(full, sizeof *full, given, "bitcask_write_options", error);
    if (status != BITCASK_OK)
        return status;
    if (full->sync < BITCASK_SYNC_DEFAULT || full->sync > BITCASK_SYNC_ALWAYS)
        return out_of_range("sync", (uint64_t)full->sync, "bitcask_sync", error);
    return BITCASK_OK;
}

bitcask_status api_read_read_options(const struct store *store, const bitcask_read_options *given,
                                     struct reader_options *options, bitcask_error *error)
{
    *options = (struct reader_options){.verify = store->options.verify_reads};
    if (given == NULL)
        return BITCASK_OK;
    bitcask_read_options full;
    bitcask_read_options_init(&full);
    bitcask_status status =
        api_read_struct(&full, sizeof full, given, "bitcask_read_options", error);
    if (status != BITCASK_OK)
        return status;
    if (full.verify < BITCASK_VERIFY_DEFAULT || full.verify > BITCASK_VERIFY_NO)
        return out_of_range("verify", (uint64_t)full.verify, "bitcask_verify_reads", error);
    if (full.verify != BITCASK_VERIFY_DEFAULT)
        options->verify = full.verify == BITCASK_VERIFY_YES;
    if (full.snapshot != NULL && full.snapshot->store != store)
        return error_set(error, BITCASK_INVALID, "the snapshot is of another store");
    options->snapshot = full.snapshot;
    return BITCASK_OK;
}

/* ---- Options by name ------------------------------------------------------------------------ */

enum option_kind {
    OPTION_SWITCH,
    OPTION_CHOICE,
    OPTION_SIZE,
    OPTION_DURATION,
    OPTION_COUNT,
    OPTION_SHARE,  /* a double, 0 to 1 */
    OPTION_WINDOW, /* text */
};

struct choice {
    const char *name;
    int value;
};

struct option {
    bitcask_option_info info;
    enum option_kind kind;
    size_t offset, size; /* of the field in bitcask_options; an int or an enum, or a uint64_t */
    uint64_t min, max;   /* of a share: percent */
    const struct choice *choices; /* ended by one without a name */
};

static const struct choice switch_choices[] = {{"yes", 1},   {"no", 0}, {"true", 1},
                                               {"false", 0}, {"on", 1}, {"off", 0},
                                               {"1", 1},     {"0", 0},  {NULL, 0}};
static const struct choice sync_choices[] = {{"none", BITCASK_SYNC_NONE},
                                             {"interval", BITCASK_SYNC_INTERVAL},
                                             {"always", BITCASK_SYNC_ALWAYS},
                                             {"no-fsync", BITCASK_SYNC_NONE},
                                             {"periodic-fsync", BITCASK_SYNC_INTERVAL},
                                             {"fsync-on-append", BITCASK_SYNC_ALWAYS},
                                             {NULL, 0}};
static const struct choice background_choices[] = {
    {"thread", BITCASK_BACKGROUND_THREAD}, {"none", BITCASK_BACKGROUND_NONE}, {NULL, 0}};
static const struct choice eviction_choices[] = {{"none", BITCASK_EVICT_NONE},
                                                 {"oldest", BITCASK_EVICT_OLDEST},
                                                 {"expiring", BITCASK_EVICT_EXPIRING},
                                                 {NULL, 0}};
static const struct choice level_choices[] = {
    {"debug", BITCASK_LOG_DEBUG}, {"info", BITCASK_LOG_INFO}, {"warn", BITCASK_LOG_WARN},
    {"error", BITCASK_LOG_ERROR}, {"off", BITCASK_LOG_OFF},   {NULL, 0}};

static const struct choice read_ahead_choices[] = {{"auto", BITCASK_READ_AHEAD_AUTO},
                                                   {"on", BITCASK_READ_AHEAD_ON},
                                                   {"off", BITCASK_READ_AHEAD_OFF},
                                                   {NULL, 0}};

_Static_assert(sizeof(bitcask_read_ahead) == sizeof(int) &&
                   sizeof(bitcask_eviction) == sizeof(int) && sizeof(bitcask_sync) == sizeof(int) &&
                   sizeof(bitcask_background) == sizeof(int) &&
                   sizeof(bitcask_log_level) == sizeof(int),
               "choices are stored as int");

#define FIELD(member) offsetof(bitcask_options, member), sizeof(((bitcask_options *)0)->member)

static const struct option option_table[] = {
    {{"create", "YES|NO", "make the store if there is none"},
     OPTION_SWITCH,
     FIELD(create),
     0,
     0,
     switch_choices},
    {{"error-if-exists", "YES|NO", "fail if there is a store already"},
     OPTION_SWITCH,
     FIELD(error_if_exists),
     0,
     0,
     switch_choices},
    {{"read-only", "YES|NO", "change no byte of the store"},
     OPTION_SWITCH,
     FIELD(read_only),
     0,
     0,
     switch_choices},
    {{"follow", "YES|NO", "read beside a process that writes, without a lock"},
     OPTION_SWITCH,
     FIELD(follow),
     0,
     0,
     switch_choices},
    {{"in-memory", "YES|NO", "keep the files in memory; they are gone when the store is closed"},
     OPTION_SWITCH,
     FIELD(in_memory),
     0,
     0,
     switch_choices},
    {{"verify-reads", "YES|NO", "check the checksum of each record read"},
     OPTION_SWITCH,
     FIELD(verify_reads),
     0,
     0,
     switch_choices},
    {{"sync", "none|interval|always", "when writes become durable"},
     OPTION_CHOICE,
     FIELD(sync),
     0,
     0,
     sync_choices},
    {{"sync-interval", "DURATION", "the longest that mode interval leaves a write unsynced"},
     OPTION_DURATION,
     FIELD(sync_interval_ms),
     1,
     SYNC_INTERVAL_MAX_MS,
     NULL},
    {{"background", "thread|none", "seal and sync in a thread, or inside the calls"},
     OPTION_CHOICE,
     FIELD(background),
     0,
     0,
     background_choices},
    {{"segment-size", "BYTES", "begin a new segment at this size, 64K to 4G"},
     OPTION_SIZE,
     FIELD(segment_size),
     BITCASK_MIN_SEGMENT_SIZE,
     BITCASK_MAX_SEGMENT_SIZE,
     NULL},
    {{"segment-max-records", "N", "begin a new segment after N records; 0: no such limit"},
     OPTION_COUNT,
     FIELD(segment_max_records),
     0,
     UINT64_MAX,
     NULL},
    {{"expected-keys", "N", "size the index for N keys from the start"},
     OPTION_COUNT,
     FIELD(expected_keys),
     0,
     UINT64_MAX,
     NULL},
    {{"index-snapshot", "YES|NO", "keep an image of the index, to open fast with many keys"},
     OPTION_SWITCH,
     FIELD(index_snapshot),
     0,
     0,
     switch_choices},
    {{"index-snapshot-bytes", "BYTES", "write it anew at close when the log has grown by as much"},
     OPTION_SIZE,
     FIELD(index_snapshot_bytes),
     1,
     UINT64_MAX,
     NULL},
    {{"merge", "YES|NO", "merge in the background; needs its thread"},
     OPTION_SWITCH,
     FIELD(merge),
     0,
     0,
     switch_choices},
    {{"merge-trigger", "SHARE", "merge segments with this share of dead bytes, 5% to 95%"},
     OPTION_SHARE,
     FIELD(merge_trigger),
     5,
     95,
     NULL},
    {{"merge-rate", "BYTES", "bytes per second that merges read and write; 0: no limit"},
     OPTION_SIZE,
     FIELD(merge_bytes_per_s),
     0,
     UINT64_MAX,
     NULL},
    {{"merge-delay", "DURATION", "begin to merge so long after the store was opened"},
     OPTION_DURATION,
     FIELD(merge_delay_ms),
     0,
     MERGE_DELAY_MAX_MS,
     NULL},
    {{"merge-window", "HH-HH", "merge only between these local hours, such as 22-06"},
     OPTION_WINDOW,
     FIELD(merge_window),
     0,
     0,
     NULL},
    {{"scrub-rate", "BYTES",
      "check sealed segments in the background, so much a second; 0: do not"},
     OPTION_SIZE,
     FIELD(scrub_bytes_per_s),
     0,
     UINT64_MAX,
     NULL},
    {{"tombstone-min-age", "DURATION", "keep tombstones so long, for followers"},
     OPTION_DURATION,
     FIELD(tombstone_min_age_ms),
     0,
     UINT64_MAX / 1000,
     NULL},
    {{"max-disk-bytes", "BYTES", "refuse puts, or evict, before the files take more; 0: no limit"},
     OPTION_SIZE,
     FIELD(max_disk_bytes),
     0,
     UINT64_MAX,
     NULL},
    {{"max-index-bytes", "BYTES", "likewise before the index takes more memory; 0: no limit"},
     OPTION_SIZE,
     FIELD(max_index_bytes),
     0,
     UINT64_MAX,
     NULL},
    {{"eviction", "none|oldest|expiring", "what goes for a put at such a limit"},
     OPTION_CHOICE,
     FIELD(eviction),
     0,
     0,
     eviction_choices},
    {{"read-ahead", "auto|on|off", "read much around what is missed; auto: if all fits in memory"},
     OPTION_CHOICE,
     FIELD(read_ahead),
     0,
     0,
     read_ahead_choices},
    {{"log-level", "debug|info|warn|error|off", "tell of events from this level on"},
     OPTION_CHOICE,
     FIELD(log_level),
     0,
     0,
     level_choices},
};

const bitcask_option_info *bitcask_option_at(size_t index)
{
    return index < ARRAY_SIZE(option_table) ? &option_table[index].info : NULL;
}

/* The names of the struct's fields are taken too: "segment_size". */
static bool same_name(const char *known, const char *given)
{
    while (*known != 0 && (*given == *known || (*known == '-' && *given == '_')))
        known++, given++;
    return *known == 0 && *given == 0;
}

/* A decimal number; *rest is set to what follows it. False if there is none or it overflows. */
static bool parse_number(const char *text, uint64_t *number, const char **rest)
{
    if (*text < '0' || *text > '9')
        return false;
    uint64_t sum = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(*text - '0'), &sum))
            return false;
    }
    *number = sum;
    *rest = text;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *number)
{
    const char *rest;
    if (!parse_number(text, number, &rest))
        return false;
    for (; units->name != NULL; units++) {
        if (strcmp(rest, units->name) == 0)
            return !__builtin_mul_overflow(*number, units->factor, number);
    }
    return false;
}

static bool parse_scalar(enum option_kind kind, const char *text, uint64_t *number)
{
    static const struct unit sizes[] = {{"", 1},         {"K", 1u << 10}, {"k", 1u << 10},
                                        {"M", 1u << 20}, {"m", 1u << 20}, {"G", 1u << 30},
                                        {"g", 1u << 30}, {NULL, 0}};
    static const struct unit durations[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}, {NULL, 0}};
    static const struct unit counts[] = {{"", 1}, {NULL, 0}};
    const struct unit *units = kind == OPTION_SIZE       ? sizes
                               : kind == OPTION_DURATION ? durations
                                                         : counts;
    return parse_with_unit(text, units, number);
}

/* "option sync: 'x' is not one of none, interval, ..." */
static bitcask_status refuse_choice(const struct option *option, const char *value,
                                    bitcask_error *error)
{
    char names[128] = "";
    size_t used = 0;
    /* The choices of no option are as long. */
    for (const struct choice *c = option->choices; c->name != NULL && ALWAYS(used < sizeof names);
         c++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "",
                                 c->name);
    return error_set(error, BITCASK_INVALID, "option %s: '%.40s' is not one of %s",
                     option->info.name, value, names);
}

static const char *wanted_by(const struct option *option)
{
    switch (option->kind) {
    case OPTION_SIZE:
        return option->max == UINT64_MAX ? "a size, such as 16M"
                                         : "a size from 64K to 4G, such as 256M";
    case OPTION_DURATION:
        return option->max > SYNC_INTERVAL_MAX_MS ? "a duration, such as 0s, 30m or 168h"
               : option->min == 0 ? "a duration up to 24h, such as 0s, 500ms, 1s, 5m or 1h"
                                  : "a duration from 1ms to 24h, such as 500ms, 1s, 5m or 1h";
    case OPTION_SHARE:
        return "a share from 5% to 95%, such as 50% or 0.5";
    case OPTION_WINDOW:
        return "two hours of the day, such as 22-06, or empty";
    default:
        return "a whole number";
    }
}

static bitcask_status refuse_scalar(const struct option *option, const char *value,
                                    bitcask_error *error)
{
    const char *wanted = wanted_by(option);
    return error_set(error, BITCASK_INVALID, "option %s: '%.40s' is not %s", option->info.name,
                     value, wanted);
}

static bitcask_status set_choice(bitcask_options *options, const struct option *option,
                                 const char *value, bitcask_error *error)
{
    for (const struct choice *choice = option->choices; choice->name != NULL; choice++) {
        if (strcmp(value, choice->name) == 0) {
            memcpy((char *)options + option->offset, &choice->value, sizeof choice->value);
            return BITCASK_OK;
        }
    }
    return refuse_choice(option, value, error);
}

static bitcask_status set_scalar(bitcask_options *options, const struct option *option,
                                 const char *value, bitcask_error *error)
{
    uint64_t number;
    if (!parse_scalar(option->kind, value, &number) || number < option->min || number > option->max)
        return refuse_scalar(option, value, error);
    memcpy((char *)options + option->offset, &number, sizeof number);
    return BITCASK_OK;
}

/* "50%" or "0.5". By integers: strtod would read the program's locale. */
static bool parse_share(const char *text, double *share)
{
    uint64_t whole, fraction = 0, scale = 1;
    const char *rest;
    if (!parse_number(text, &whole, &rest) || whole > 100)
        return false;
    if (*rest == '.') {
        for (rest++; *rest >= '0' && *rest <= '9' && scale < 1000000; rest++, scale *= 10)
            fraction = fraction * 10 + (uint64_t)(*rest - '0');
    }
    double number = (double)whole + (double)fraction / (double)scale;
    bool percent = strcmp(rest, "%") == 0;
    *share = percent ? number / 100 : number;
    return percent || *rest == 0;
}

static bitcask_status set_share(bitcask_options *options, const struct option *option,
                                const char *value, bitcask_error *error)
{
    double share;
    if (!parse_share(value, &share) || share * 100 < (double)option->min ||
        share * 100 > (double)option->max)
        return refuse_scalar(option, value, error);
    memcpy((char *)options + option->offset, &share, sizeof share);
    return BITCASK_OK;
}

static bitcask_status set_window(bitcask_options *options, const struct option *option,
                                 const char *value, bitcask_error *error)
{
    struct merge_window window;
    if (strlen(value) >= option->size || !merge_window_parse(value, &window))
        return refuse_scalar(option, value, error);
    memset((char *)options + option->offset, 0, option->size);
    memcpy((char *)options + option->offset, value, strlen(value));
    return BITCASK_OK;
}

static bitcask_status refuse_name(const char *name, bitcask_error *error)
{
    char names[400] = "";
    size_t used = 0;
    for (size_t i = 0; i < ARRAY_SIZE(option_table) && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "",
                                 option_table[i].info.name);
    return error_set(error, BITCASK_INVALID, "no option '%.24s'; there are %s", name, names);
}

bitcask_status bitcask_options_set(bitcask_options *options, const char *name, const char *value,
                                   bitcask_error *error)
{
    if (options == NULL || name == NULL || value == NULL)
        return api_missing(options == NULL ? "options" : name == NULL ? "name" : "value", error);
    for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
        const struct option *option = &option_table[i];
        if (!same_name(option->info.name, name))
            continue;
        if (options->struct_size < option->offset + option->size)
            return error_set(error, BITCASK_INVALID,
                             "option %s: the options struct has no room for it; call "
                             "bitcask_options_init",
                             option->info.name);
        if (option->kind == OPTION_SHARE)
            return set_share(options, option, value, error);
        if (option->kind == OPTION_WINDOW)
            return set_window(options, option, value, error);
        return option->choices != NULL ? set_choice(options, option, value, error)
                                       : set_scalar(options, option, value, error);
    }
    return refuse_name(name, error);
}
