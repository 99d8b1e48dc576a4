"""The files of a ZIP archive that somebody uploads as the beginning of a repository."""

import io
import stat
import zipfile
import zlib

from agent.forge import ForgeRefused
from agent.forge.policy import COUNT_LIMIT, FILE_LIMIT, TOTAL_LIMIT, check_path
from authz.errors import BadRequest

LARGEST = 20 << 20  # bytes of one archive


def check_size(size: int | None) -> None:
    """Raise BadRequest (field `file`) for an archive of so many bytes, before it is even read."""
    if (size or 0) > LARGEST:
        raise _refused(f"has {size:,} bytes; at most {LARGEST >> 20} MiB are taken")


def files_of(archive: bytes) -> dict[str, bytes]:
    """Content by path. One folder around everything, as code hosts pack it, is left out.

    A folder `.git` is left out too: only the files count, the history is pushed. Raises BadRequest
    (field `file`) for what is no such archive, or holds something that no commit may hold.
    """
    check_size(len(archive))
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            found = _read(opened)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise _refused(f"must be a ZIP archive ({error})") from error
    tops = {path.partition("/")[0] for path in found}
    if len(tops) == 1 and all("/" in path for path in found):
        found = {path.partition("/")[2]: content for path, content in found.items()}
    found = {path: content for path, content in found.items() if path.partition("/")[0] != ".git"}
    if not found:
        raise _refused("holds no file")
    for path in found:
        try:
            check_path(path)
        except ForgeRefused as refusal:
            raise _refused(f"holds {refusal}") from refusal
    return found


def _read(archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > COUNT_LIMIT:
        raise _refused(f"holds {len(entries):,} files; one commit takes {COUNT_LIMIT:,}")
    found: dict[str, bytes] = {}
    total = 0
    for entry in entries:
        name = entry.filename
        if entry.flag_bits & 1:
            raise _refused("must not be encrypted")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise _refused(f"holds a symbolic link: {name!r}")
        if name in found:
            raise _refused(f"holds {name!r} twice")
        # What the entry says of its own size may be a lie: at most one byte too many is unpacked.
        with archive.open(entry) as content:
            found[name] = content.read(FILE_LIMIT + 1)
        total += len(found[name])
        if len(found[name]) > FILE_LIMIT:
            raise _refused(f"holds {name!r}, which has more than {FILE_LIMIT >> 20} MiB")
        if total > TOTAL_LIMIT:
            raise _refused(f"holds more than {TOTAL_LIMIT >> 20} MiB, which one commit takes")
    return found


def _refused(what: str) -> BadRequest:
    return BadRequest({"file": what})
