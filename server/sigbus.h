/* SPDX-License-Identifier: MIT
 * sigbus.h: a page of the store that the device cannot deliver is an error of the call that wanted
 * it, not the end of the server.
 *
 * Reads go through memory mappings; where a page cannot be had the kernel sends SIGBUS to the
 * thread that touched it. The handler puts a page of zeros in its place, for reading only, and lets
 * the thread go on: no record's checksum fits zeros, so the call returns CORRUPT, its client gets
 * an error, and merges leave that segment alone. The file is not touched; after a restart the page
 * is tried anew.
 *
 * A write that finds no page is another matter: the record would be lost while it is acknowledged.
 * There, and for what is no such fault, the process says what has happened and ends. */
#ifndef SERVER_SIGBUS_H
#define SERVER_SIGBUS_H

/* For the whole process, from now on. */
void sigbus_survive(void);

/* Pages that this thread has met so far: who copies a value that was checked before compares it
 * from before and after. */
unsigned sigbus_count(void);

#endif
