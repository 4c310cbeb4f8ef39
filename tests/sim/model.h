/* SPDX-License-Identifier: MIT
 * model.h: what may be seen in a store.
 *
 * The history is a list of atoms in the order in which they were asked for: a write, or a batch,
 * which is several in one. An atom is done, or its outcome is unknown: it may turn out after the
 * next opening to have happened or not. What failed otherwise is not in the list.
 *
 * While the store is open a reader sees the last done write of each key. After a crash there is a
 * prefix of the history, no shorter than what is known to be durable, each unknown atom in it there
 * as a whole or not at all: model_resolve finds one that fits, and what does not is forgotten. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEL_KEYS = 40 };

struct model_write {
    uint32_t key;
    uint32_t value; /* its number; 0: deleted */
    uint64_t expires_us;
    uint64_t version; /* 0: not known */
    bool reapable;    /* a merge may have dropped it as expired */
    bool vague;       /* whether it was written depended on the moment: anything may be seen */
    bool evictable;   /* an eviction was under way: it may be away, and then stays away */
};

struct model_atom {
    size_t first, count; /* writes */
    bool unknown;
    bool interval;  /* asked for in that mode: durable when an interval has passed */
    uint64_t at_us; /* done; boot clock */
};

/* A write that failed, or that a recovery has found not to have happened: nobody may see it, unless
 * the device has lost what took it back, or the manifest that said where its segment ends. */
struct model_failed {
    uint32_t key, value;
    size_t atom_count; /* of the history when it failed; 0: it was forgotten */
};

struct model {
    struct model_write *writes;
    size_t write_count, write_capacity;
    struct model_atom *atoms;
    size_t atom_count, atom_capacity;
    struct model_failed *failed;
    size_t failed_count, failed_capacity;
    size_t durable; /* so many atoms survive anything */
    size_t vouched; /* so many are known to the store as durable: their loss would be told */
    uint64_t max_version;
};

/* What a look at a key has shown. */
struct model_seen {
    bool present;
    uint32_t value;
    uint64_t version, expires_us;
    uint64_t from_us, to_us; /* the wall clock before and after */
};

void model_free(struct model *model);

/* Begin an atom, add its writes, and end it: it is kept as done or unknown, or it was nothing. */
enum model_outcome { MODEL_DONE, MODEL_UNKNOWN, MODEL_NOTHING };
void model_begin(struct model *model);
struct model_write *model_add(struct model *model, uint32_t key, uint32_t value,
                              uint64_t expires_us);
void model_end(struct model *model, enum model_outcome outcome);

/* The write of `key` that a reader of the open store sees, the atom begun included; NULL if there
 * was none. */
struct model_write *model_now(const struct model *model, uint32_t key);
/* Is it durable for certain? */
bool model_is_durable(const struct model *model, uint32_t key);

/* Is this what a reader may see of `write` (or of nothing)? */
bool model_fits(const struct model_write *write, const struct model_seen *seen);
/* Is the key there, as far as can be told: 1, 0, or -1 for "depends on the moment". */
int model_lives(const struct model_write *write, uint64_t from_us, uint64_t to_us);

/* A merge has ended and could trust the clock. */
void model_reap(struct model *model, uint64_t now_us);

/* An eviction begins: what readers see now may go. Then, key by key: this is what has become of it;
 * model_resolve does the same after a crash in between. */
void model_evict(struct model *model);
void model_settle(struct model *model, uint32_t key, const struct model_seen *seen);

/* The store was opened after a crash, and shows this of each key: make the history fit. At least
 * `least` atoms (of those done) must be there. False if there is no such history. */
bool model_resolve(struct model *model, const struct model_seen seen[MODEL_KEYS], size_t least);

/* Has `value` ever been written to `key`, in what is left of the history? */
bool model_knows(const struct model *model, uint32_t key, uint32_t value);

/* Has a write of it failed, when the history had at least `since` atoms? */
bool model_has_failed(const struct model *model, uint32_t key, uint32_t value, size_t since);

#endif
