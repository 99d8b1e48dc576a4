"""Reads files out of a folder that somebody hostile has written, and writes them as frames.

Runs in the sandbox as a program of its own (python collecting.py FOLDER PATTERNS FILES BYTES), so
it imports nothing of ours. The one who wrote the folder may still be writing: every file is opened
beneath the folder without following any link, must be a plain file with one name, and is read up
to a bound whatever it claims its size to be.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO

DEPTH = 64  # folders inside each other
ENTRIES = 100_000  # looked at
REJECTED = 200  # named

# A frame: kind, bytes of the path, bytes of the content (or of the reason), path, content.
FRAME = struct.Struct(">cHQ")
FILE, REFUSED, END = b"F", b"R", b"E"

_OPENAT2 = 437  # the same on every architecture
_BENEATH, _NO_SYMLINKS, _NO_MAGICLINKS = 0x08, 0x04, 0x02
# NONBLOCK: opening a pipe that nobody writes to must not wait.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class Rejected(Exception):
    """A file that is not brought back; the message says why."""


def open_beneath(folder: int, path: bytes) -> int:
    """Open a file below an open folder, following no link on the way.

    Raises OSError: ELOOP for a link, EXDEV for a way out. Where the kernel has no openat2 (gVisor),
    the folders are opened one by one, which holds against links just as well.
    """
    how = _How(_READ, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    opened: int = _syscall(_OPENAT2, folder, path, ctypes.byref(how), ctypes.sizeof(how))
    if opened >= 0:
        return opened
    problem = ctypes.get_errno()
    if problem in {errno.ENOSYS, errno.EPERM}:  # EPERM: a seccomp filter that does not know it
        return open_step_by_step(folder, path)
    raise OSError(problem, os.strerror(problem), os.fsdecode(path))


def open_step_by_step(folder: int, path: bytes) -> int:
    """What `open_beneath` does where there is no openat2."""
    *folders, name = path.split(b"/")
    if b".." in (*folders, name):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(path))
    at = os.dup(folder)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(name, _READ | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def read_beneath(folder: int, path: bytes, limit: int) -> bytes:
    """Content of a plain file below an open folder, at most `limit` bytes.

    Raises Rejected.
    """
    try:
        opened = open_beneath(folder, path)
    except OSError as error:
        raise Rejected(f"cannot be opened: {os.strerror(error.errno or 0)}") from None
    try:
        facts = os.fstat(opened)
        if not stat.S_ISREG(facts.st_mode):
            raise Rejected("is not a plain file")
        if facts.st_nlink != 1:
            raise Rejected("has more than one name")
        if facts.st_size > limit:
            raise Rejected(f"has {facts.st_size} bytes, {limit} are left")
        content = bytearray()
        while chunk := os.read(opened, min(_CHUNK, limit + 1 - len(content))):
            content += chunk
            if len(content) > limit:
                raise Rejected("grew while it was read")
    finally:
        os.close(opened)
    return bytes(content)


def walk(folder: int) -> Iterator[bytes]:
    """Paths of what lies below an open folder and is no folder itself. Follows no link.

    Stops after ENTRIES names and does not go deeper than DEPTH folders.
    """
    waiting: list[tuple[bytes, int]] = [(b"", 0)]
    seen = 0
    while waiting:
        path, depth = waiting.pop()
        try:
            at = _open_folder(folder, path)
        except OSError:  # gone, or no folder any more
            continue
        try:
            with os.scandir(at) as entries:
                for entry in entries:
                    seen += 1
                    if seen > ENTRIES:
                        return
                    below = path + b"/" * bool(path) + os.fsencode(entry.name)
                    if not entry.is_dir(follow_symlinks=False):
                        yield below
                    elif depth + 1 < DEPTH:
                        waiting.append((below, depth + 1))
        finally:
            os.close(at)


def _open_folder(folder: int, path: bytes) -> int:
    at = os.dup(folder) if not path else os.open(path.split(b"/")[0], _FOLDER, dir_fd=folder)
    for part in path.split(b"/")[1:]:
        try:
            inner = os.open(part, _FOLDER, dir_fd=at)
        finally:
            os.close(at)
        at = inner
    return at


def collect(folder: str, patterns: Sequence[str], files: int, size: int, out: BinaryIO) -> None:
    """Write a frame for each file below `folder` that a pattern matches, then an END frame.

    At most `files` of them with `size` bytes together; what is left behind gets a REFUSED frame.
    """
    taken = left = named = 0
    root = os.open(folder, _FOLDER)
    try:
        for path in sorted(walk(root)):
            shown = PurePosixPath(os.fsdecode(path))
            if not any(shown.full_match(pattern) for pattern in patterns):
                continue
            try:
                if taken >= files:
                    raise Rejected(f"is one more than {files} files")
                content = read_beneath(root, path, size - left)
            except Rejected as reason:
                named += 1
                if named <= REJECTED:
                    said = str(reason).encode()
                    out.write(FRAME.pack(REFUSED, len(path), len(said)) + path + said)
                continue
            taken += 1
            left += len(content)
            out.write(FRAME.pack(FILE, len(path), len(content)) + path)
            out.write(content)
    finally:
        os.close(root)
    out.write(FRAME.pack(END, 0, 0))
    out.flush()


def main(arguments: Sequence[str]) -> None:
    """FOLDER, a file of PATTERNS apart by NUL, FILES, BYTES: frames on standard output."""
    folder, patterns, files, size = arguments
    with open(patterns, "rb") as said:
        wanted = [os.fsdecode(pattern) for pattern in said.read().split(b"\0") if pattern]
    collect(folder, wanted, int(files), int(size), sys.stdout.buffer)


if __name__ == "__main__":
    main(sys.argv[1:])
