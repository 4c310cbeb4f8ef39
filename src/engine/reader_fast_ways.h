/* SPDX-License-Identifier: MIT
 * reader_fast_ways.h: the short ways of get, view and get_many, for one way of computing checksums.
 *
 * reader.c includes it once for each way that short ones are worth it for, having defined
 *
 *     FAST(name)       the name of a function of this way
 *     FAST_TARGET      what the processor has, as an attribute
 *     FAST_CHECKSUM    checksum_words, as a part of the caller
 *     FAST_COPY        memcpy for 16 to 256 bytes, likewise
 *     FAST_LEAVE       what is to be done behind these
 *
 * so that a look-up is one function, in which all instructions are of one kind. No guard. */

/* `value`: it is to be copied there, where there is room; a large one is on the way. */
FAST_TARGET static inline __attribute__((always_inline)) bool
FAST(is_sound)(const struct reader_hit *hit, bool verify, bitcask_buffer *value)
{
    const uint8_t *record = hit->record.bytes;
    uint64_t size = hit->record.shape.size, salt = hit->segment->salt;
    if (!verify || PLANTED(read_unchecked))
        return true;
    if (UNLIKELY(size > CHECKSUM_WORDS_MAX))
        return value != NULL ? is_sound_long(record, size, salt, hit->place.offset,
                                             hit->record.shape.value_size, value)
                             : record_checksum_ok(record, size, salt, hit->place.offset);
    return get_u32(record) == FAST_CHECKSUM(salt, hit->place.offset, record + 4, (size_t)size - 4);
}

FAST_TARGET static bitcask_status FAST(get)(struct store *store, slice key, bitcask_buffer *value,
                                            bitcask_meta *meta, bitcask_error *error)
{
    struct reader_hit hit = {0};
    bitcask_status status = BITCASK_NOT_FOUND;
    uint64_t hash = hash_key_inline(&store->secret, key);
    if (UNLIKELY(!fast_owns_line()))
        return get_any(store, key, &(struct reader_options){store->options.verify_reads, NULL},
                       value, meta, error);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    guard.owned = true; /* known to the compiler */
    enum fast_answer answer = fast_find(store, hash, key, &hit);
    if (LIKELY(answer == FAST_FOUND)) {
        slice stored = segment_record_value(&hit.record);
        bool room = value->capacity >= stored.size && value->data != NULL;
        if (UNLIKELY(!room) ||
            UNLIKELY(!FAST(is_sound)(&hit, store->options.verify_reads, value))) {
            answer = FAST_UNKNOWN;
        } else {
            if (UNLIKELY(stored.size < 16 || stored.size > 256))
                copy_other(value, stored, store->options.verify_reads);
            else
                FAST_COPY(value->data, stored.data, stored.size);
            value->size = stored.size;
            if (meta != NULL)
                fill_meta(meta, &hit.record.shape);
            status = BITCASK_OK;
        }
        FAST_LEAVE();
    }
    if (LIKELY(answer != FAST_UNKNOWN))
        count_read(guard, status);
    epoch_exit(guard);
    if (UNLIKELY(answer == FAST_UNKNOWN))
        return get_any(store, key, &(struct reader_options){store->options.verify_reads, NULL},
                       value, meta, error);
    PROBE2(get, key.size, status);
    return status;
}

FAST_TARGET static bitcask_status FAST(view)(struct store *store, slice key, bitcask_view *view,
                                             bitcask_error *error)
{
    struct reader_hit hit = {0};
    uint64_t hash = hash_key_inline(&store->secret, key);
    unsigned line = epoch_thread_number - 1;
    if (UNLIKELY(line >= EPOCH_OWNED))
        return view_any(store, key, &(struct reader_options){store->options.verify_reads, NULL},
                        view, error);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    guard.owned = true;
    enum fast_answer answer = fast_find(store, hash, key, &hit);
    if (LIKELY(answer == FAST_FOUND)) {
        bool sound = FAST(is_sound)(&hit, store->options.verify_reads, NULL);
        FAST_LEAVE();
        _Atomic uint32_t *count = LIKELY(sound) ? count_of(store, line, &hit) : NULL;
        if (LIKELY(count != NULL)) {
            view_count_take(count);
            fill_view(view, &hit, segments_view_counted(hit.segment));
            count_read(guard, BITCASK_OK);
            epoch_exit(guard);
            PROBE2(get, key.size, BITCASK_OK);
            return BITCASK_OK;
        }
        answer = FAST_UNKNOWN;
    }
    if (LIKELY(answer != FAST_UNKNOWN))
        count_read(guard, BITCASK_NOT_FOUND);
    epoch_exit(guard);
    if (UNLIKELY(answer == FAST_UNKNOWN))
        return view_any(store, key, &(struct reader_options){store->options.verify_reads, NULL},
                        view, error);
    *view = (bitcask_view){0};
    PROBE2(get, key.size, BITCASK_NOT_FOUND);
    return BITCASK_NOT_FOUND;
}

FAST_TARGET static void FAST(views)(struct store *store, const slice *keys, const uint64_t *hashes,
                                    size_t count, struct many *many, bitcask_view *views,
                                    bitcask_status *each)
{
    for (size_t i = 0; i < count; i++) {
        struct reader_hit hit = {0};
        enum fast_answer answer = fast_find(store, hashes[i], keys[i], &hit);
        each[i] = BITCASK_NOT_FOUND;
        if (LIKELY(answer == FAST_FOUND)) {
            bool sound = FAST(is_sound)(&hit, many->options->verify, NULL);
            FAST_LEAVE();
            answer = LIKELY(sound) ? FAST_FOUND : FAST_UNKNOWN;
            if (LIKELY(sound)) {
                each[i] = BITCASK_OK;
                take_view(store, many, &hit, &views[i]);
            }
        }
        if (UNLIKELY(answer == FAST_UNKNOWN))
            fill_view_any(store, hashes[i], keys[i], many, &views[i], &each[i]);
    }
}
