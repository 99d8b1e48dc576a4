"""Bytes on disk: found again by digest, checked on the way back, never half written."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.store import Damaged, Missing, Store

ACME, UMBRELLA = UUID(int=1), UUID(int=2)
ROOT = Path(__file__).resolve().parents[2]

FILL = """
import resource, sys
from uuid import UUID
from evidence.store import Store, StoreFull
store = Store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
kept = store.put(UUID(int=1), b"x" * 90_000)
for attempt in (lambda: store.put(UUID(int=1), b"y" * 200_000),
                lambda: store.put_stream(UUID(int=1), (b"z" * 60_000 for _ in range(9)))):
    try:
        attempt()
    except StoreFull as full:
        print(full)
assert store.get(UUID(int=1), kept.sha256) == b"x" * 90_000
"""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def only_file(store: Store) -> Path:
    (path,) = [path for path in store.folder.rglob("*") if path.is_file()]
    return path


@settings(max_examples=20)
@given(content=st.binary(max_size=4000))
def test_what_was_put_is_given_back(tmp_path_factory, content):
    store = Store(tmp_path_factory.mktemp("store"))

    stored = store.put(ACME, content)

    assert (stored.sha256, stored.size) == (sha256(content).hexdigest(), len(content))
    assert store.get(ACME, stored.sha256, size=stored.size) == content


def test_a_large_file_passes_through_in_pieces(store):
    chunks = [bytes([number]) * 700_000 for number in range(5)]

    stored = store.put_stream(ACME, chunks)
    pieces = list(store.get_stream(ACME, stored.sha256))

    assert stored.size == 3_500_000
    assert max(map(len, pieces)) <= 1 << 20
    assert b"".join(pieces) == b"".join(chunks)


def test_the_same_bytes_are_kept_once(store):
    assert store.put(ACME, b"same") == store.put(ACME, b"same")
    assert only_file(store).read_bytes() == b"same"


def test_files_are_fanned_out_under_their_tenant(store):
    digest = store.put(ACME, b"content").sha256

    expected = Path(str(ACME), digest[:2], digest[2:4], digest)
    assert only_file(store).relative_to(store.folder) == expected


def test_one_tenant_never_reads_the_bytes_of_another(store):
    stored = store.put(ACME, b"secret")

    assert store.holds(ACME, stored.sha256)
    assert not store.holds(UMBRELLA, stored.sha256)
    with pytest.raises(Missing):
        store.get(UMBRELLA, stored.sha256)


def test_a_flipped_bit_is_noticed_on_the_way_back(store):
    stored = store.put(ACME, b"content")
    only_file(store).write_bytes(b"contenT")

    with pytest.raises(Damaged, match="another digest"):
        store.get(ACME, stored.sha256)


def test_a_shortened_file_is_noticed_on_the_way_back(store):
    stored = store.put(ACME, b"content")
    only_file(store).write_bytes(b"cont")

    with pytest.raises(Damaged, match="4 bytes, not 7"):
        store.get(ACME, stored.sha256, size=stored.size)


def test_a_damaged_file_gives_no_byte_away_before_it_is_noticed(store):
    stored = store.put(ACME, b"a" * 3_000_000)
    only_file(store).write_bytes(b"a" * 2_999_999 + b"b")

    with pytest.raises(Damaged):
        next(store.get_stream(ACME, stored.sha256))


def test_putting_the_bytes_again_repairs_a_damaged_file(store):
    stored = store.put(ACME, b"content")
    only_file(store).write_bytes(b"garbage")

    store.put(ACME, b"content")

    assert store.get(ACME, stored.sha256) == b"content"


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "\n"])
def test_what_is_no_digest_is_missing(store, digest):
    with pytest.raises(Missing):
        store.get(ACME, digest)


def test_a_writer_that_gives_up_leaves_nothing_behind(store):
    def chunks():
        yield b"half"
        raise RuntimeError("the upload broke")

    with pytest.raises(RuntimeError, match="broke"):
        store.put_stream(ACME, chunks())

    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


def test_a_full_disk_is_told_apart_and_leaves_nothing_half_written(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no room left; nothing was kept") == 2
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files] == [sha256(b"x" * 90_000).hexdigest()]
