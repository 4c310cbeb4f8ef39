# SPDX-License-Identifier: MIT
"""disk.py: real file systems on disks that lose power and fail on demand. Needs root.

    LoopDisk      an image mounted through a loop device; the power cut is the file system's own
                  shutdown call (ext4, xfs): it stops at once and writes nothing more
    VolatileDisk  an image behind nbdkit, nbdfuse and a loop device, with a write cache that keeps a
                  random part of what was not flushed: any file system, and reordered writes
    FailingDisk   the same way, writes fail with EIO while told to
    Tmpfs         memory, for full disks

All mount their file system at `path`; `close` unmounts and removes everything."""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time

SHUTDOWN = 0x8004587d  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
SHUTDOWN_NO_LOG_FLUSH = 2
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f", "-s", "size=4096"],
        "btrfs": ["mkfs.btrfs", "-q", "-f"]}
SIZE_MIB = {"ext4": 64, "xfs": 320, "btrfs": 160}
HERE = os.path.dirname(os.path.abspath(__file__))


class Unsupported(Exception):
    """This machine cannot do it; the message says what is missing."""


@contextlib.contextmanager
def supported(what):
    """Whatever the system refuses in here, this machine cannot do."""
    try:
        yield
    except OSError as error:
        raise Unsupported("%s: %s" % (what, error)) from error


def shut_down(path):
    """The file system stops where it is, and writes nothing more."""
    with supported("the shutdown call"):
        directory = os.open(path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, struct.pack("I", SHUTDOWN_NO_LOG_FLUSH))
        finally:
            os.close(directory)


def run(*command, check=True):
    with supported(command[0]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise Unsupported("%s: %s" % (" ".join(command), (done.stderr or done.stdout).strip()))
    return done.stdout.strip()


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            raise Unsupported("there is no %s" % program)


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Unsupported("%s within %d s" % (what, seconds))
        time.sleep(0.01)


def is_mounted(path):
    """os.path.ismount says no of a file system that answers everything with an error."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return any(line.split()[1] == path for line in mounts)


class Mounted:
    """What all have in common: a scratch directory and a mount point."""

    def __init__(self, kind):
        if os.geteuid() != 0:
            raise Unsupported("mounting needs root")
        self.kind = kind
        with supported("a scratch directory"):
            self.scratch = tempfile.mkdtemp(prefix="bitcask-realfs-")
            self.path = os.path.join(self.scratch, "mnt")
            os.mkdir(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def unmount(self):
        # A dying writer may hold the mount for a moment.
        for _ in range(500):
            done = subprocess.run(["umount", self.path], capture_output=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.01)
        run("umount", "-l", self.path)

    def close(self):
        if is_mounted(self.path):
            self.unmount()
        shutil.rmtree(self.scratch, ignore_errors=True)


class Tmpfs(Mounted):
    def __init__(self, size):
        super().__init__("tmpfs")
        try:
            run("mount", "-t", "tmpfs", "-o", "size=%s" % size, "tmpfs", self.path)
        except Unsupported:
            self.close()
            raise


class Imaged(Mounted):
    def __init__(self, kind, size_mib=None):
        super().__init__(kind)
        self.image = os.path.join(self.scratch, "image")
        try:
            need(MKFS[kind][0], "losetup")
            with supported("an image of a disk"), open(self.image, "wb") as file:
                file.truncate((size_mib or SIZE_MIB[kind]) << 20)
            run(*MKFS[kind], self.image)
        except Unsupported:
            self.close()
            raise

    def mount_image(self):
        run("mount", "-o", "loop", self.image, self.path)


class LoopDisk(Imaged):
    def __init__(self, kind, size_mib=None):
        super().__init__(kind, size_mib)
        try:
            self.mount_image()
            if not self.can_cut():
                raise Unsupported("%s has no shutdown call on this kernel" % kind)
        except Unsupported:
            self.close()
            raise

    def can_cut(self):
        return self.kind != "btrfs"

    def cut(self, seed):
        shut_down(self.path)

    def power_on(self):
        self.unmount()
        self.mount_image()


class NbdDisk(Imaged):
    """The image behind a server of nbdkit, which plays the disk."""

    def __init__(self, kind, size_mib=None):
        super().__init__(kind, size_mib)
        self.fuse = os.path.join(self.scratch, "fuse")
        self.server = self.loop = None
        try:
            need("nbdkit", "nbdfuse")
            with supported("a mount point"):
                os.mkdir(self.fuse)
            self.start()
        except Unsupported:
            self.close()
            raise

    def plugin(self):
        raise NotImplementedError

    def start(self):
        with supported("nbdfuse"):
            self.server = subprocess.Popen(
                ["nbdfuse", self.fuse + "/disk", "--command", "nbdkit", "-s", *self.plugin()],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(self.fuse + "/disk") or self.server.poll() is not None,
                   10, "nbdfuse did not start")
        self.loop = run("losetup", "-f", "--show", "--direct-io=on", self.fuse + "/disk")
        run("mount", self.loop, self.path)

    def stop(self):
        if is_mounted(self.path):
            self.unmount()
        if self.loop:
            run("losetup", "-d", self.loop, check=False)
            self.loop = None
        if self.server:
            run("umount", self.fuse, check=False)
            run("umount", "-l", self.fuse, check=False)
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
            self.server = None

    def close(self):
        self.stop()
        super().close()


class VolatileDisk(NbdDisk):
    seed = 0

    def plugin(self):
        return ["python", os.path.join(HERE, "volatile_plugin.py"), "image=" + self.image,
                "cut=" + self.scratch + "/cut", "seed=%d" % self.seed]

    def cut(self, seed):
        with open(self.scratch + "/cut", "w", encoding="ascii"):
            pass
        if self.kind == "xfs":  # which would try again and again
            shut_down(self.path)

    def power_on(self):
        self.stop()
        os.unlink(self.scratch + "/cut")
        self.seed += 1
        self.start()


class FailingDisk(NbdDisk):
    def plugin(self):
        return ["--filter=error", "file", self.image, "error-pwrite=EIO",
                "error-pwrite-rate=100%", "error-pwrite-file=" + self.scratch + "/fail"]

    def fail(self, on):
        if on:
            with open(self.scratch + "/fail", "w", encoding="ascii"):
                pass
        else:
            os.unlink(self.scratch + "/fail")

    def power_on(self):
        self.stop()
        self.start()
