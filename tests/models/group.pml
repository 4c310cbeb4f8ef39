/* SPDX-License-Identifier: MIT
 * group.pml: group commit with a sync that fails (engine/group.h, log_sync.c, rescue.h; invariants
 * W4, W5, D1, D2).
 *
 * Writers queue; one of them leads, appends for all that wait, syncs if any asks for it, publishes in
 * order, wakes the rest. The device takes what it failed to sync for clean: a second sync of it says
 * all is well, and the data are gone. The power may go at any moment.
 *
 *     spin -a group.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan
 *
 * With one of these defined, something must be found:
 *     RETRY_SYNC      a failed sync is tried again instead of a copy of what it had to save
 *     EARLY_PUBLISH   a group is visible before it is durable
 *     OVERTAKE        a write that need not be durable does not wait for the group before it
 *     IGNORE_RESULT   the result of the sync is not looked at */
#define WRITERS 3
#define LOST 2

/* Of write i (0..2): */
bit durable_wanted[WRITERS];
byte place[WRITERS];   /* position in the log, from 1; 0: not appended */
bit visible[WRITERS];
bit acknowledged[WRITERS];
bit failed[WRITERS];   /* its writer was told "unknown" */

/* The log: which write is at a position, and what is on the medium. */
byte at[20]; /* write + 1 */
byte on_disk[20]; /* 0 dirty, 1 durable, LOST: clean and gone */
byte end = 0;
bit queued[WRITERS];
bit lock = 0;
bit poisoned = 0;
bit power = 1;

/* Is write w durable in some copy? */
inline is_durable(w, yes)
{
    byte q;
    yes = 0;
    for (q : 1 .. end) {
        if
        :: at[q] == w + 1 && on_disk[q] == 1 -> yes = 1
        :: else
        fi
    }
}

/* Sync everything below `end`: ok is what the device says. */
inline sync(ok)
{
    byte s;
    atomic {
        if
        :: ok = 1;
           for (s : 1 .. end) {
               if
               :: on_disk[s] == 0 -> on_disk[s] = 1
               :: else
               fi
           }
        :: ok = 0; /* dirty pages are dropped as if they had been written */
           for (s : 1 .. end) {
               if
               :: on_disk[s] == 0 -> on_disk[s] = LOST
               :: else
               fi
           }
        fi
    }
}

inline append(w)
{
    atomic { end++; at[end] = w + 1; on_disk[end] = 0; place[w] = end }
}

inline serve()
{
    bit in_group[WRITERS];
    bit wants = 0, ok = 1;
    byte i, from;
    atomic {
        from = end;
        for (i : 0 .. WRITERS - 1) {
            in_group[i] = queued[i];
            queued[i] = 0;
            wants = wants || (in_group[i] && durable_wanted[i])
        }
    }
    for (i : 0 .. WRITERS - 1) {
        if
        :: in_group[i] && !poisoned ->
           append(i);
#ifdef EARLY_PUBLISH
           visible[i] = 1
#endif
        :: in_group[i] && poisoned -> failed[i] = 1; in_group[i] = 0
        :: else
        fi
    }
    if
    :: wants && end > from ->
       sync(ok);
#ifdef IGNORE_RESULT
       ok = 1;
#endif
       if
       :: !ok ->
#ifdef RETRY_SYNC
          sync(ok)
#else
          /* Copy what is suspect to another segment, and sync that; these writers are told that
           * nobody knows. What was published before and not yet durable is copied too. */
          byte upto = end, c;
          for (c : 1 .. upto) {
              if
              :: on_disk[c] == LOST && visible[at[c] - 1] -> atomic { end++; at[end] = at[c]; on_disk[end] = 0 }
              :: else
              fi
          }
          bit saved = 1;
          sync(saved);
          if
          :: !saved -> poisoned = 1
          :: else
          fi
#endif
       :: else
       fi
    :: else
    fi;
    for (i : 0 .. WRITERS - 1) {
        if
        :: in_group[i] && ok -> atomic { visible[i] = 1; acknowledged[i] = 1 }
        :: in_group[i] && !ok -> failed[i] = 1
        :: else
        fi
    }
}

proctype writer(byte me)
{
    if
    :: durable_wanted[me] = 1
    :: durable_wanted[me] = 0
    fi;
#ifdef OVERTAKE
    if
    :: !durable_wanted[me] -> append(me); atomic { visible[me] = 1; acknowledged[me] = 1 }; goto done
    :: else
    fi;
#endif
    queued[me] = 1;
    do
    :: acknowledged[me] || failed[me] -> break
    :: atomic { lock == 0 -> lock = 1 }
       if
       :: queued[me] -> serve()
       :: else
       fi;
       lock = 0
    od;
#ifdef OVERTAKE
done:
#endif
    skip
}

/* The power goes at some moment; what is promised must hold on what is left then. */
proctype power_cut()
{
    byte w, u;
    bit yes, before;
    atomic {
        for (w : 0 .. WRITERS - 1) {
            /* an acknowledged `always` write is durable */
            is_durable(w, yes);
            assert(!(acknowledged[w] && durable_wanted[w]) || yes);
            /* and was not seen before that */
            assert(!(visible[w] && durable_wanted[w]) || yes);
            /* no write is visible while one before it in the log, which will be, is not */
            for (u : 0 .. WRITERS - 1) {
                if
                :: visible[w] && place[u] != 0 && place[u] < place[w] ->
                   assert(visible[u] || failed[u] || acknowledged[u] || lock && !durable_wanted[u])
                :: else
                fi
            }
        };
        power = 0
    }
}

init {
    atomic {
        run writer(0);
        run writer(1);
        run writer(2);
        run power_cut()
    }
}
