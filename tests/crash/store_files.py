# SPDX-License-Identifier: MIT
"""store_files.py: a reader of segment files, for tests that damage them (docs/FORMAT.md).

It shares no code with the store: what it says is durable is an opinion of its own."""
import json
import os
import struct

HEADER_SIZE = 128
KIND_LOG = 1
FLAG_TOMBSTONE, FLAG_EXPIRES, FLAG_BATCH_MORE, FLAG_META = 1, 2, 4, 8
META_SYNC, META_SEAL = 1, 2


class Record:
    __slots__ = ("segment", "offset", "end", "flags", "key", "value")

    def __init__(self, segment, offset, end, flags, key, value):
        self.segment, self.offset, self.end = segment, offset, end
        self.flags, self.key, self.value = flags, key, value

    @property
    def is_meta(self):
        return bool(self.flags & FLAG_META)

    @property
    def is_seal(self):
        return self.is_meta and struct.unpack_from("<I", self.value)[0] == META_SEAL


def data_path(directory, segment):
    return os.path.join(directory, "%09d.data" % segment)


def unsealed_logs(directory):
    """Ids of the log segments that the manifest does not call sealed, ascending."""
    with open(os.path.join(directory, "MANIFEST"), "rb") as file:
        manifest = json.load(file)
    ids = [s["id"] for s in manifest["segments"] if s["state"] != "sealed" and s["kind"] == "log"]
    return sorted(i for i in ids if os.path.exists(data_path(directory, i)))


def read_records(directory, segment):
    """All records up to the first thing that is none. Checksums are not looked at: the file is
    what a killed process has left in the page cache, torn at its end at most."""
    with open(data_path(directory, segment), "rb") as file:
        data = file.read()
    records = []
    if len(data) < HEADER_SIZE or struct.unpack_from("<I", data, 12)[0] != KIND_LOG:
        return records
    at = HEADER_SIZE
    while at + 20 <= len(data):
        version, key_size, flags, value_size = struct.unpack_from("<QHHI", data, at + 4)
        head = 28 if flags & FLAG_EXPIRES else 20
        end = at + head + key_size + value_size
        if version == 0 or end > len(data):
            break
        key_at = at + head
        records.append(Record(segment, at, end, flags, data[key_at:key_at + key_size],
                              data[key_at + key_size:end]))
        at = end
    return records


def durable_floor(records):
    """(segment, offset): all of the log before it is on the disk. A SYNC record names such a place;
    a SEAL record is written once all before it has been synced."""
    floor = (0, 0)
    for record in records:
        if not record.is_meta or len(record.value) < 24:
            continue
        kind, _, segment, offset = struct.unpack_from("<IIQQ", record.value)
        if kind == META_SYNC:
            floor = max(floor, (segment, offset))
        elif kind == META_SEAL:
            floor = max(floor, (record.segment, record.offset))
    return floor
