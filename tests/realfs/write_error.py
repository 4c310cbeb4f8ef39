# SPDX-License-Identifier: MIT
"""write_error.py: what a store says and keeps when the device under its file system fails a write.

A file system answers the first sync after such an error with EIO, the next one with success, though
the data are gone; reads then come from the page cache, and after a remount there are zeros or a
shorter file. `plain_file` shows that, as a control that the device really fails; `store` shows what
a store makes of it: nothing that was acknowledged as durable is lost, and nothing is shown that is
not."""

import os

import disk
import library


def outcome(call):
    try:
        call()
        return "ok"
    except OSError as error:
        return os.strerror(error.errno)


def plain_file(device):
    """{first sync, retry, read, after remount} of a program that retries."""
    path = os.path.join(device.path, "plain")
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    os.pwrite(file, b"old" * 2000, 0)
    os.fsync(file)
    device.fail(True)
    os.pwrite(file, b"new" * 2000, 0)
    row = {"first sync": outcome(lambda: os.fdatasync(file))}
    device.fail(False)
    row["retry"] = outcome(lambda: os.fdatasync(file))
    row["read"] = os.pread(file, 3, 0).decode()
    os.close(file)
    device.power_on()
    try:
        with open(path, "rb") as file:
            row["after remount"] = repr(file.read(3).decode(errors="replace"))
    except OSError as error:
        row["after remount"] = os.strerror(error.errno)
    return row


class Keys:
    """What was asked of the store, and what it answered."""

    def __init__(self, lib):
        self.lib = lib
        self.sure = {}     # acknowledged
        self.unsure = {}   # answered with an error

    def put(self, store, key, value):
        status = store.put(key, value)
        if status == library.OK:
            self.sure[key] = value
            self.unsure.pop(key, None)
        else:
            self.unsure.setdefault(key, []).append(value)
        return self.lib.name(status)

    def check(self, store, when):
        for key in set(self.sure) | set(self.unsure):
            status, value = store.get(key)
            allowed = [self.sure.get(key)] + self.unsure.get(key, [])
            if status not in (library.OK, library.NOT_FOUND):
                raise AssertionError("%s: %s reads as %s" % (when, key, self.lib.name(status)))
            if value not in allowed:
                raise AssertionError("%s: %s is %r and not %r" % (when, key, value, allowed))


def check_visible(keys, store, when):
    """An open store shows what it acknowledged, or says that it cannot; never what it has not."""
    for key, wanted in keys.sure.items():
        status, value = store.get(key)
        if status == library.OK and value != wanted:
            raise AssertionError("%s: %s is %r and not %r" % (when, key, value, wanted))
        if status == library.NOT_FOUND:
            raise AssertionError("%s: %s is not there" % (when, key))


def store(device, lib, sync):
    """The same row of a store in mode `sync`; raises AssertionError for a broken promise."""
    directory = os.path.join(device.path, "store")
    status, db, message = lib.open(directory, sync=sync, segment_size="1M", sync_interval="10s")
    if db is None:
        raise AssertionError("open: %s" % message)
    keys = Keys(lib)
    for i in range(50):
        keys.put(db, b"key%d" % i, b"old" * 300)
    if lib.lib.bitcask_sync_now(db.handle, None) != library.OK:
        raise AssertionError("the first sync failed, and nothing was wrong yet")
    device.fail(True)
    answers = [keys.put(db, b"key%d" % i, b"new" * 300) for i in range(20)]
    first = lib.lib.bitcask_sync_now(db.handle, None)
    row = {"first sync": "/".join(sorted({*answers, lib.name(first)}))}
    device.fail(False)
    before = dict(keys.sure)
    row["retry"] = keys.put(db, b"key0", b"retried" * 100)
    check_visible(keys, db, "while it is open")
    row["read"] = "as acknowledged"
    db.close()
    device.power_on()
    status, db, message = lib.open(directory)
    if db is None:
        raise AssertionError("after remount: %s" % message)
    if sync != "always" and first != library.OK:
        # What was acknowledged without a sync may be gone: back to what the last sync promised.
        for key, value in before.items():
            if value.startswith(b"new"):
                keys.unsure.setdefault(key, []).append(value)
                keys.sure[key] = b"old" * 300
        keys.unsure.setdefault(b"key0", []).append(b"retried" * 100)
    keys.check(db, "after remount")
    row["after remount"] = "as promised"
    db.close()
    return row


def table(lib, kinds):
    """Yields (file system, who, row or the reason why there is none)."""
    for kind in kinds:
        for who in ("plain file", "always", "interval", "none"):
            try:
                with disk.FailingDisk(kind) as device:
                    row = plain_file(device) if who == "plain file" else store(device, lib, who)
            except disk.Unsupported as reason:
                row = "skipped: %s" % reason
            yield kind, who, row
