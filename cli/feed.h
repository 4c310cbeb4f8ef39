/* SPDX-License-Identifier: MIT
 * feed.h: printing the changes of a store as they land. */
#ifndef CLI_FEED_H
#define CLI_FEED_H

#include "cli.h"

struct cli_feed {
    struct cli *cli;
    bitcask *db; /* opened to follow */
    bitcask_feed *feed;
    uint64_t interval_us;      /* the longest wait between two looks */
    uint64_t limit;            /* stop after as many changes shown; UINT64_MAX: never */
    const char *position_file; /* replaced when what is printed is out; or NULL */
    /* Print a change; false if it is not one to be shown. */
    bool (*show)(struct cli_feed *feed, const bitcask_change *change);
    void *context; /* of show */
};

/* Show changes until the limit is reached, the reader of stdout has gone, or SIGINT or SIGTERM
 * comes (which end the command in order: the position is kept, the exit code is 0). Returns an enum
 * cli_exit. */
int cli_feed_run(struct cli_feed *feed);

/* The position in the file, with its newline off, in `text`; "" if there is no file. CLI_DONE, or
 * an exit code after a line on stderr. */
int cli_feed_read_position(struct cli *cli, const char *file, char text[BITCASK_POSITION_SIZE]);

#endif
