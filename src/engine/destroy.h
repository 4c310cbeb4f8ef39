/* SPDX-License-Identifier: MIT
 * destroy.h: delete a store that is not open. */
#ifndef ENGINE_DESTROY_H
#define ENGINE_DESTROY_H

#include "base/error.h"
#include "os/os.h"

/* As bitcask_destroy. Holds the store's lock meanwhile. The manifest goes last of what matters, so
 * that a destroy cut short leaves a store that says which segments are missing, not one that seems
 * whole; done again, it finishes. Files that are not a store's stay, and with them the directory.
 * Returns OK; NO_STORE; LOCKED; IO; NO_MEMORY; INVALID for too long a name. */
bitcask_status destroy_store(struct os *os, const char *directory, bitcask_error *error);

#endif
