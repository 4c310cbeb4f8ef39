/* SPDX-License-Identifier: MIT
 * publish.pml: one key in the index, between a writer, a merge, readers and the reclamation of
 * segments (engine/keydir.h, merge_job.h, epoch.h, segment.h; invariants W5, M4, X1, X3).
 *
 * A segment holds one record. The writer appends to a free segment and changes the index by
 * compare-and-swap from the place it has found, which it looks up again if a merge was faster. The
 * merge copies a record to a free segment, moves the index entry from exactly the place that it
 * copied, and retires the input: after a grace period the table's pin goes, and with the last pin the
 * memory, which is then used for another segment. Readers look inside an epoch; one of them pins
 * what it found, leaves the epoch, and looks again.
 *
 *     spin -a publish.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan
 *
 * With one of these defined, something must be found:
 *     NO_GRACE      the input goes at once
 *     PLAIN_MOVE    the merge stores its place, whatever the index has by then
 *     NO_RECHECK    the writer gives up when its compare-and-swap fails
 *     NO_PIN        the reader that leaves the epoch takes no pin
 *     NO_REENTER    a reader does not look whether the phase has turned while it counted itself in */
#define SEGMENTS 5 /* 1..4; place 0 is "not in the index" */
#ifndef WRITES
#define WRITES 2
#endif

byte slot = 0;              /* the index entry: the segment of the key's newest record */
byte version[SEGMENTS];     /* of the record in a segment */
byte pins[SEGMENTS];        /* the table's own is one of them; 0: free, the memory is gone */
byte acknowledged = 0;      /* version of the last write that returned */
bit deleted = 0;            /* it was a delete */
byte phase = 0;             /* engine/epoch.h */
byte readers[2];
bit merging = 0;

inline take_free(s) /* an unused segment number; the table's mutex */
{
    atomic {
        s = 0;
        if
        :: pins[1] == 0 -> s = 1
        :: pins[2] == 0 -> s = 2
        :: pins[3] == 0 -> s = 3
        :: pins[4] == 0 -> s = 4
        :: else /* none is free: no write, no merge */
        fi;
        if
        :: s != 0 -> pins[s] = 1
        :: else
        fi
    }
}

inline enter(p)
{
    do
    :: p = phase;
       readers[p]++;
#ifdef NO_REENTER
       break
#else
       if
       :: phase == p -> break
       :: else -> readers[p]--
       fi
#endif
    od
}

inline unpin(s)
{
    atomic {
        assert(pins[s] > 0);
        pins[s]--;
        if
        :: pins[s] == 0 -> version[s] = 0
        :: else
        fi
    }
}

/* Retire a segment: a grace period, then the table's pin goes. */
inline retire(s, old)
{
#ifdef NO_GRACE
    unpin(s)
#else
    old = phase;
    phase = 1 - phase;
    readers[old] == 0;
    unpin(s)
#endif
}

proctype writer()
{
    byte v, s, found, old;
    for (v : 1 .. WRITES) {
        if
        :: /* put */
           take_free(s);
           if
           :: s == 0 -> goto next
           :: else
           fi;
           version[s] = v;
           do
           :: found = slot;
              atomic {
                  if
                  :: slot == found -> slot = s; deleted = 0; acknowledged = v; break
                  :: else ->
#ifdef NO_RECHECK
                     break
#else
                     skip
#endif
                  fi
              }
           od
        :: /* delete */
           do
           :: found = slot;
              atomic {
                  if
                  :: slot == found -> slot = 0; deleted = 1; acknowledged = v; break
                  :: else ->
#ifdef NO_RECHECK
                     break
#else
                     skip
#endif
                  fi
              }
           od;
        fi;
#ifdef NO_RECHECK
        acknowledged = v;
#endif
        /* What the writer has just left behind is dead; a merge gives its segment back. */
        if
        :: atomic { found != 0 && slot != found && merging == 0 -> merging = 1 };
           if
           :: pins[found] != 0 && version[found] != 0 -> retire(found, old)
           :: else
           fi;
           merging = 0
        :: else
        fi;
next:
        skip
    }
}

proctype merge()
{
    byte from, to, old, v;
    if
    :: atomic { merging == 0 -> merging = 1 }
       from = slot;
       if
       :: from != 0 ->
          v = version[from];
          take_free(to);
          if
          :: to == 0 -> goto done
          :: else
          fi;
          version[to] = v;
#ifdef PLAIN_MOVE
          slot = to;
          retire(from, old)
#else
          atomic {
              if
              :: slot == from -> slot = to
              :: else -> unpin(to); to = 0 /* somebody has written the key meanwhile */
              fi
          };
          if
          :: to != 0 -> retire(from, old)
          :: else
          fi
#endif
       :: else
       fi;
done:
       merging = 0
    :: true
    fi
}

/* Is what is seen as new as what had been acknowledged before? */
inline judge(v, before)
{
    assert(v >= before)
}

proctype reader()
{
    byte p, s, before, v;
    bit gone;
    enter(p);
    atomic { before = acknowledged; gone = deleted }
    s = slot;
    if
    :: s != 0 ->
       assert(pins[s] > 0); /* the memory is there */
       v = version[s];
       judge(v, before);
       assert(!(gone && v <= before)) /* a deleted value does not come back */
    :: else ->
       assert(gone || before == 0 || acknowledged != before || deleted)
    fi;
    readers[p]--
}

proctype holder()
{
    byte p, s, v;
    enter(p);
    s = slot;
    if
    :: s != 0 ->
       v = version[s];
#ifndef NO_PIN
       atomic { assert(pins[s] > 0); pins[s]++ }
#endif
       readers[p]--;
       assert(pins[s] > 0);
       assert(version[s] == v); /* the view does not change, and was not given to another segment */
#ifndef NO_PIN
       unpin(s)
#endif
    :: else -> readers[p]--
    fi
}

init {
    atomic {
        run writer();
        run merge();
        run reader();
        run holder()
    }
}
