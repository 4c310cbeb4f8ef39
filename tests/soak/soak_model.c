/* SPDX-License-Identifier: MIT
 * soak_model.c: what is known of each key. */
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "soak.h"

void soak_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "\nsoak: FAILED: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort(); /* the store is left as it is, to be looked at */
}

void soak_need(bitcask_status status, const bitcask_error *error, const char *what)
{
    if (status != BITCASK_OK)
        soak_fail("%s: %s: %s", what, bitcask_status_name(status), error->message);
}

uint64_t soak_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bitcask_slice soak_key_name(char text[SOAK_KEY_MAX], uint32_t key)
{
    int size = snprintf(text, SOAK_KEY_MAX, "soak/%u/%08u", key % SOAK_WRITERS, key);
    return bitcask_bytes(text, (size_t)size);
}

uint32_t soak_key_of(const struct soak *soak, bitcask_slice name)
{
    char text[SOAK_KEY_MAX] = {0}, expected[SOAK_KEY_MAX];
    unsigned writer, key;
    if (name.size < sizeof text)
        memcpy(text, name.data, name.size);
    if (sscanf(text, "soak/%u/%u", &writer, &key) != 2 || key >= soak->key_count ||
        soak_key_name(expected, key).size != name.size || strcmp(expected, text) != 0)
        soak_fail("a key that nobody wrote: '%.*s'", (int)name.size, (const char *)name.data);
    return key;
}

static uint64_t pattern_of(uint32_t key, uint32_t number)
{
    uint64_t state = (uint64_t)key << 32 | number;
    return soak_random(&state);
}

size_t soak_value(uint8_t value[SOAK_VALUE_MAX], uint32_t key, uint32_t number)
{
    uint64_t pattern = pattern_of(key, number);
    size_t size = 16 + (pattern % 16 == 0 ? pattern >> 8 & 0xfff : pattern >> 8 & 0x7f);
    size = size > SOAK_VALUE_MAX ? SOAK_VALUE_MAX : size;
    memcpy(value, &key, 4);
    memcpy(value + 4, &number, 4);
    for (size_t i = 8; i < size; i++)
        value[i] = (uint8_t)(pattern >> (i % 8 * 8)) + (uint8_t)(i / 8);
    return size;
}

uint32_t soak_number_of(bitcask_slice value, uint32_t key, const char *who)
{
    uint8_t expected[SOAK_VALUE_MAX];
    uint32_t of_key = UINT32_MAX, number = 0;
    if (value.size >= 8) {
        memcpy(&of_key, value.data, 4);
        memcpy(&number, (const char *)value.data + 4, 4);
    }
    if (of_key != key || number == 0 || soak_value(expected, key, number) != value.size ||
        memcmp(expected, value.data, value.size) != 0)
        soak_fail("%s: key %u has a value of %zu bytes that nobody wrote (key %u, write %u)", who,
                  key, value.size, of_key, number);
    return number;
}

void soak_check_bounds(struct soak *soak, uint32_t key, uint32_t number, uint32_t floor,
                       const char *who)
{
    uint32_t ceiling = atomic_load(&soak->keys[key].begun);
    if (number != 0 && (number < floor || number > ceiling))
        soak_fail("%s: key %u has write %u; %u had been acknowledged, %u was the last begun", who,
                  key, number, floor, ceiling);
}
