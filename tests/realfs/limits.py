# SPDX-License-Identifier: MIT
"""limits.py: a full disk, a limit on the size of files, and files that somebody deletes."""

import os
import random
import resource
import shutil
import signal
import subprocess

import disk
import library


def require(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def check(lib, db, wanted, when):
    for key, value in wanted.items():
        status, got = db.get(key)
        require(status == library.OK and got == value, when, key, lib.name(status), "and not its value")


def disk_full(lib, device, sync, value_size):
    """Fill the disk, delete, merge, go on. Returns how many keys fitted.

    The older half is deleted, so that whole segments die: with no block free a merge has no room to
    copy what lives, and says so."""
    directory = os.path.join(device.path, "store")
    status, db, message = lib.open(directory, sync=sync, segment_size="1M")
    require(status == library.OK, message)
    wanted, number = {}, 0
    while True:
        key, value = b"key-%06d" % number, os.urandom(value_size)
        status = db.put(key, value)
        if status != library.OK:
            break
        wanted[key] = value
        number += 1
    require(lib.name(status) == "NO_SPACE", "a full disk is", lib.name(status), db.message())
    check(lib, db, wanted, "full:")
    fitted = len(wanted)
    deletes = merges = 0
    for key in sorted(wanted)[:fitted // 2]:
        if db.delete(key) != library.OK:  # what is kept aside for deletes is used up
            require(deletes > 100, "delete", deletes, "on the full disk:", db.message())
            require(db.merge() == library.OK, "merge on the full disk:", db.message())
            require(db.delete(key) == library.OK, "delete after a merge:", db.message())
            merges += 1
            deletes = 0
        deletes += 1
        del wanted[key]
    require(merges < 10, merges, "merges were needed for", fitted // 2, "deletes")
    status = db.merge()
    require(status == library.OK, "merge on the full disk:", db.message())
    for i in range(fitted // 4):
        key, value = b"more-%06d" % i, os.urandom(value_size)
        status = db.put(key, value)
        require(status == library.OK, "put", i, "after the merge:", db.message())
        wanted[key] = value
    check(lib, db, wanted, "after the merge:")
    require(db.close() == library.OK, db.message())
    status, db, message = lib.open(directory)
    require(status == library.OK, message)
    check(lib, db, wanted, "reopened:")
    status, _ = db.get(b"key-000000")
    require(status == library.NOT_FOUND, "a deleted key is back")
    db.close()
    return fitted


def limited_file_size(program, directory, sync):
    """The command under RLIMIT_FSIZE: an error, no signal, and all acknowledged is there."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))
    lines = "".join("key%d\t%s\n" % (i, "v" * 500) for i in range(2000))
    done = subprocess.run(
        [program, "-d", directory, "--quiet", "import", "--ack", "--format", "tsv", "--sync", sync,
         "--segment-size", "64M", "-"], input=lines.encode(), capture_output=True, check=False,
        preexec_fn=limit)
    require(done.returncode not in (0, -signal.SIGXFSZ) and done.returncode > 0,
            "import under the limit returned", done.returncode)
    require(done.stderr, "no message")
    acknowledged = done.stdout.split()
    kept = subprocess.run([program, "-d", directory, "--quiet", "keys"], capture_output=True,
                          check=True).stdout.split()
    require(set(acknowledged) <= set(kept), "acknowledged and gone:",
            sorted(set(acknowledged) - set(kept))[:5])
    return len(acknowledged)


def build_store(lib, directory):
    status, db, message = lib.open(directory, segment_size="64K", sync="none")
    require(status == library.OK, message)
    wanted = {}
    for i in range(1500):
        wanted[b"key%d" % i] = b"%d" % i * 60
        require(db.put(b"key%d" % i, wanted[b"key%d" % i]) == library.OK, db.message())
    return db, wanted


def read_all(lib, db, wanted):
    """No value may be wrong. Returns how many are missing or said to be damaged."""
    gone = 0
    for key, value in wanted.items():
        status, got = db.get(key)
        require(status != library.OK or got == value, key, "has another value")
        gone += status != library.OK
    return gone


def deleted_files(lib, device, random_):
    """Delete some files of a store, closed and while it is open. Returns (files, keys lost)."""
    directory = os.path.join(device.path, "deleted")
    deleted = lost = 0
    for live in (False, True):
        shutil.rmtree(directory, ignore_errors=True)
        db, wanted = build_store(lib, directory)
        if not live:
            db.close()
        # What is being written goes or gets its name by itself.
        names = sorted(n for n in os.listdir(directory) if n != "quarantine" and not n.endswith(".tmp"))
        data_gone = False
        for name in random_.sample(names, random_.randrange(1, 4)):
            os.unlink(os.path.join(directory, name))
            data_gone |= name.endswith(".data")
            deleted += 1
        if live:
            require(read_all(lib, db, wanted) == 0, "an open store lost keys with its files")
            db.put(b"another", b"one")
            db.merge()
            db.close()
        status, db, message = lib.open(directory)
        require(status == library.OK, "open without some files:", message)
        gone = read_all(lib, db, wanted)
        require(data_gone or gone == 0, gone, "keys gone, no data file was deleted")
        lost += gone
        require(db.put(b"still", b"works") == library.OK, db.message())
        db.close()
    return deleted, lost


def run_all(lib, program, seed, kinds):
    """Yields (name, what happened); raises AssertionError."""
    for kind in kinds:
        for sync in ("always", "none"):
            try:
                with (disk.Tmpfs("8m") if kind == "tmpfs" else disk.LoopDisk(kind, 16)
                      if kind == "ext4" else disk.LoopDisk(kind)) as device:
                    size = 60000 if kind == "xfs" else 2000  # its smallest disk is not that small
                    fitted = disk_full(lib, device, sync, size)
                    yield ("disk full, %s, %s" % (kind, sync),
                           "%d keys of %d bytes fitted" % (fitted, size))
            except disk.Unsupported as reason:
                yield "disk full, %s, %s" % (kind, sync), "skipped: %s" % reason
    try:
        with disk.LoopDisk("ext4") as device:
            for sync in ("always", "interval", "none"):
                count = limited_file_size(program, os.path.join(device.path, "limit-" + sync), sync)
                yield "RLIMIT_FSIZE, %s" % sync, "%d acknowledged, all there" % count
            files = keys = 0
            for i in range(20):
                more = deleted_files(lib, device, random.Random("%d/%d" % (seed, i)))
                files, keys = files + more[0], keys + more[1]
            yield "files deleted", "%d of 40 stores, %d keys gone, no wrong value" % (files, keys)
    except disk.Unsupported as reason:
        yield "limits on ext4", "skipped: %s" % reason
