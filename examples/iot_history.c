/* SPDX-License-Identifier: MIT
 * iot_history.c: the readings of sensors, by composite keys of sensor and time.
 *
 * A hash store keeps no order, so it cannot walk from 09:10 to 09:15. It need not: where readings
 * come at a known pace, the keys of that stretch can be computed, and get_many looks them all up at
 * once. A reading that never came is a NOT_FOUND in its place.
 *
 *     r<sensor>/<minute>   a reading     n<sensor>   the newest one, so that nobody has to search
 *
 * Both are written by one batch, so no reader and no crash sees one without the other.
 *
 * Prints:
 *     cellar 09:10 to 09:15: 11.0 11.1 - 11.3 11.4 11.5
 *     cellar now: 15.9 at 09:59
 *     attic 09:10 to 09:15: 21.0 21.1 21.2 21.3 21.4 21.5
 *     attic now: 25.9 at 09:59
 */
#include <bitcask.h>
#include <stdio.h>

enum { KEY_SIZE = 32, NINE = 9 * 60 };

struct reading { /* fixed layout, written and read by this program on this kind of machine */
    int32_t minute;
    int32_t tenths; /* of a degree */
};

static bitcask_slice reading_key(char *key, const char *sensor, int minute)
{
    return bitcask_bytes(key, (size_t)snprintf(key, KEY_SIZE, "r%s/%06d", sensor, minute));
}

static bitcask_slice newest_key(char *key, const char *sensor)
{
    return bitcask_bytes(key, (size_t)snprintf(key, KEY_SIZE, "n%s", sensor));
}

static bitcask_status record(bitcask *db, bitcask_batch *batch, const char *sensor,
                             struct reading reading, bitcask_error *error)
{
    char key[KEY_SIZE];
    bitcask_slice value = bitcask_bytes(&reading, sizeof reading);
    bitcask_batch_clear(batch); /* one batch serves for all: its memory stays */
    bitcask_status status =
        bitcask_batch_put(batch, reading_key(key, sensor, reading.minute), value, 0, error);
    if (status == BITCASK_OK)
        status = bitcask_batch_put(batch, newest_key(key, sensor), value, 0, error);
    /* Instead of 0 an expires_us of now + 90 days would be the whole of "delete what is old":
     * segments in which everything has expired are dropped without being read. */
    if (status == BITCASK_OK)
        status = bitcask_write(db, batch, NULL, NULL, error);
    return status;
}

static bitcask_status show(bitcask *db, const char *sensor, int from, bitcask_error *error)
{
    enum { COUNT = 6 };
    char names[COUNT][KEY_SIZE], key[KEY_SIZE];
    bitcask_slice keys[COUNT];
    bitcask_view views[COUNT]; /* values in place: nothing is copied, but they must be released */
    bitcask_status each[COUNT];
    for (int i = 0; i < COUNT; i++)
        keys[i] = reading_key(names[i], sensor, from + i);
    bitcask_status status = bitcask_get_many(db, NULL, keys, COUNT, views, each, error);
    if (status == BITCASK_OK) {
        printf("%s 09:%02d to 09:%02d:", sensor, from - NINE, from - NINE + COUNT - 1);
        struct reading reading;
        for (int i = 0; i < COUNT; i++) {
            if (each[i] == BITCASK_NOT_FOUND || views[i].value.size != sizeof reading) {
                printf(" -");
                continue;
            }
            memcpy(&reading, views[i].value.data, sizeof reading); /* a value is not aligned */
            printf(" %d.%d", reading.tenths / 10, reading.tenths % 10);
        }
        printf("\n");
    }
    bitcask_views_release(views, COUNT);

    bitcask_view view = {0};
    if (status == BITCASK_OK)
        status = bitcask_get_view(db, NULL, newest_key(key, sensor), &view, error);
    if (status == BITCASK_OK && view.value.size == sizeof(struct reading)) {
        struct reading reading;
        memcpy(&reading, view.value.data, sizeof reading);
        printf("%s now: %d.%d at 09:%02d\n", sensor, reading.tenths / 10, reading.tenths % 10,
               reading.minute - NINE);
    }
    bitcask_views_release(&view, 1);
    return status;
}

int main(int argc, char **argv)
{
    static const char *const sensors[] = {"cellar", "attic"};
    bitcask *db = NULL;
    bitcask_batch *batch = NULL;
    bitcask_error error;
    bitcask_status status = bitcask_open(argc > 1 ? argv[1] : "./iot-data", NULL, &db, &error);
    if (status == BITCASK_OK)
        status = bitcask_batch_new(&batch, &error);
    for (int minute = 0; status == BITCASK_OK && minute < 60; minute++)
        for (int i = 0; status == BITCASK_OK && i < 2; i++) {
            struct reading reading = {NINE + minute, 100 * (i + 1) + minute};
            if (i == 0 && minute == 12)
                continue; /* the radio was down */
            status = record(db, batch, sensors[i], reading, &error);
        }
    for (int i = 0; status == BITCASK_OK && i < 2; i++)
        status = show(db, sensors[i], NINE + 10, &error);
    if (status < 0)
        fprintf(stderr, "%s\n", error.message);
    bitcask_batch_free(batch);
    return (bitcask_close(db, NULL) != BITCASK_OK) | (status != BITCASK_OK);
}
