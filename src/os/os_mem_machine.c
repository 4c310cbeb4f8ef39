/* SPDX-License-Identifier: MIT
 * os_mem_machine.c: what a memory os says of the machine: clocks, randomness, memory, names. Atomic
 * counters over the real ones, or instead of them. */
#include <string.h>

#include "os/os_mem_internal.h"

enum { DETERMINISTIC_START_S = 1700000000, TICKS_AT_START_US = 1000000 };

static uint64_t mem_clock_real(struct os *os)
{
    struct mem_disk *disk = mem_disk_of(os);
    int64_t offset = atomic_load(&disk->real_offset_us);
    if (disk->options.real_clock)
        return os_posix()->clock_real(os_posix()) + (uint64_t)offset;
    return atomic_fetch_add(&disk->ticks_us, 1) + 1 + (uint64_t)offset;
}

static uint64_t mem_clock_coarse(struct os *os)
{
    struct mem_disk *disk = mem_disk_of(os);
    if (!disk->options.real_clock)
        return mem_clock_real(os);
    return os_posix()->clock_coarse(os_posix()) + (uint64_t)atomic_load(&disk->real_offset_us);
}

static uint64_t mem_clock_boot(struct os *os)
{
    struct mem_disk *disk = mem_disk_of(os);
    uint64_t ticks = atomic_load(&disk->ticks_us);
    return disk->options.real_clock ? os_posix()->clock_boot(os_posix()) + ticks : ticks;
}

static int32_t mem_utc_offset_s(struct os *os, uint64_t real_us)
{
    bool real = mem_disk_of(os)->options.real_clock;
    return real ? os_posix()->utc_offset_s(os_posix(), real_us) : 0;
}

/* splitmix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014). */
static uint64_t random_next(uint64_t *state)
{
    uint64_t n = *state += 0x9E3779B97F4A7C15u;
    n = (n ^ n >> 30) * 0xBF58476D1CE4E5B9u;
    n = (n ^ n >> 27) * 0x94D049BB133111EBu;
    return n ^ n >> 31;
}

static int mem_random(struct os *os, void *data, size_t size)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = mem_call_begin(disk, OS_CALL_RANDOM);
    if (result == 0 && disk->options.real_clock) {
        result = os_posix()->random(os_posix(), data, size);
    } else if (result == 0) {
        for (size_t i = 0; i < size; i++)
            ((unsigned char *)data)[i] = (unsigned char)random_next(&disk->random_state);
    }
    mem_call_end(disk);
    return result;
}

static void *mem_alloc(struct os *os, size_t size, size_t alignment)
{
    struct mem_disk *disk = mem_disk_of(os);
    int result = mem_call_begin(disk, OS_CALL_ALLOC);
    mem_call_end(disk);
    void *memory = result == 0 ? os_posix()->alloc(os_posix(), size, alignment) : NULL;
    if (memory)
        atomic_fetch_add(&disk->live_bytes, size);
    return memory;
}

static void mem_free(struct os *os, void *memory, size_t size)
{
    if (memory)
        atomic_fetch_sub(&mem_disk_of(os)->live_bytes, size);
    os_posix()->free(os_posix(), memory, size);
}

static int mem_available_memory(struct os *os, uint64_t *bytes)
{
    uint64_t memory = atomic_load(&mem_disk_of(os)->memory);
    *bytes = memory > 0 ? memory : INT64_MAX;
    return 0;
}

static uint64_t mem_process_id(struct os *os)
{
    return mem_disk_of(os)->options.real_clock ? os_posix()->process_id(os_posix()) : 1;
}

static void mem_host_name(struct os *os, char *name, size_t size)
{
    if (mem_disk_of(os)->options.real_clock) {
        os_posix()->host_name(os_posix(), name, size);
    } else if (size > 0) {
        strncpy(name, "memory", size - 1);
        name[size - 1] = '\0';
    }
}

static const volatile unsigned char *mem_fork_guard(struct os *os)
{
    (void)os;
    return os_posix()->fork_guard(os_posix());
}

void mem_begin_machine(struct mem_disk *disk)
{
    struct os *os = &disk->os;
    os->clock_real = mem_clock_real;
    os->clock_coarse = mem_clock_coarse;
    os->clock_boot = mem_clock_boot;
    os->utc_offset_s = mem_utc_offset_s;
    os->random = mem_random;
    os->alloc = mem_alloc;
    os->free = mem_free;
    os->available_memory = mem_available_memory;
    os->process_id = mem_process_id;
    os->host_name = mem_host_name;
    os->fork_guard = mem_fork_guard;
    disk->random_state = disk->options.seed;
    if (disk->options.real_clock)
        return;
    disk->ticks_us = TICKS_AT_START_US;
    disk->real_offset_us = (int64_t)DETERMINISTIC_START_S * 1000000;
}
