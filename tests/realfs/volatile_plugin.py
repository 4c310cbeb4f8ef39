# SPDX-License-Identifier: MIT
"""volatile_plugin.py: a disk with a write cache that forgets, as a plugin of nbdkit.

    nbdkit python volatile_plugin.py image=FILE cut=FILE seed=N

What is written is seen at once, and is in the image only after a flush (or a write with FUA). Once
the file `cut` exists every call fails: the power is gone. When the server stops after that, a random
choice of the sectors that were not flushed reaches the image, each whole or not at all."""

import builtins  # `open` is one of the plugin's own functions
import os
import random

import nbdkit

API_VERSION = 2
SECTOR = 4096

settings = {}
image = None
size = 0
pending = {}  # number of the sector: its bytes
dead = False


def config(key, value):
    settings[key] = value


def get_ready():
    global image, size
    image = builtins.open(settings["image"], "r+b", buffering=0)
    size = os.fstat(image.fileno()).st_size


def thread_model():
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def open(readonly):
    return 1


def get_size(handle):
    return size


def can_flush(handle):
    return True


def can_fua(handle):
    return nbdkit.FUA_NATIVE


def need_power():
    global dead
    dead = dead or os.path.exists(settings["cut"])
    if dead:
        nbdkit.set_error(5)  # EIO
        raise RuntimeError("the power is gone")


def sector(number):
    if number in pending:
        return pending[number]
    return os.pread(image.fileno(), SECTOR, number * SECTOR).ljust(SECTOR, b"\0")


def pread(handle, buf, offset, flags):
    need_power()
    first, last = offset // SECTOR, (offset + len(buf) - 1) // SECTOR
    data = b"".join(sector(n) for n in range(first, last + 1))
    start = offset - first * SECTOR
    buf[:] = data[start:start + len(buf)]


def pwrite(handle, buf, offset, flags):
    need_power()
    first, last = offset // SECTOR, (offset + len(buf) - 1) // SECTOR
    data = bytearray()
    if offset % SECTOR != 0 or (offset + len(buf)) % SECTOR != 0:
        data = bytearray(b"".join(sector(n) for n in range(first, last + 1)))
        start = offset - first * SECTOR
        data[start:start + len(buf)] = buf
    else:
        data = buf
    for n in range(first, last + 1):
        pending[n] = bytes(data[(n - first) * SECTOR:(n - first + 1) * SECTOR])
    if flags & nbdkit.FLAG_FUA:
        for n in range(first, last + 1):
            settle(n)


def settle(number):
    os.pwrite(image.fileno(), pending.pop(number), number * SECTOR)


def flush(handle, flags):
    need_power()
    for number in list(pending):
        settle(number)


def unload():
    if not dead:
        return
    chance = random.Random(settings["seed"])
    share = chance.random()
    for number in sorted(pending):
        if chance.random() < share:
            settle(number)
