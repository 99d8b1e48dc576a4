"""Packs that an authority outside time-stamps: a real one, one that lies, one that is down."""

import os
import re
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlsplit
from zipfile import ZipFile

import pytest
from django.conf import settings as configured

from agent import dossier, lifecycle, pack_orders, queue, repositories, runner, stamping
from agent.models import Proposal
from agent.pack_orders import PackOrder
from agent.places import artifact_store, catalogue
from evidence.models import Checkpoint, Entry, OpenIntent, Pack, Payload
from evidence.signing import FileKeys
from evidence.stamps import LARGEST, query
from tenants.actor import system_actor
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.evidence.authority import POLICY, TIME_STAMPING, Authority, certified
from tests.portal.standing import sealed

ROOT = Path(__file__).resolve().parents[2]
FILE = "timestamps/end.tsr"


class Served:
    """An authority behind HTTP. `answer` makes what it says of what it is asked."""

    def __init__(self, home):
        self.home, self.ca = home, certified("CA of times")
        self.authority = self.under(self.ca, "it")
        self.answer, self.status, self.asked = self.authority.answer, 200, []

    def under(self, ca, name):
        return Authority(self.home / name, certified("it", ca, usages=TIME_STAMPING))


@pytest.fixture
def authority(tmp_path, settings, monkeypatch):
    """Set up and asked as soon as the question is queued, as an agent worker that is free does."""
    served = Served(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            served.asked.append((self.path, self.headers["Content-Type"], asked))
            said = served.answer(asked)
            self.send_response(served.status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.TIMESTAMP_URL = f"http://127.0.0.1:{server.server_address[1]}/tsr"
        settings.TIMESTAMP_CA = served.ca.pem
        monkeypatch.setattr(queue, "stamp_pack", stamping.ask)
        yield served
        server.shutdown()


def ordered(company, kind=Pack.Kind.PERIOD):
    iris = company.people["iris"].actor("page", signed_in=JUST_NOW)
    if kind == Pack.Kind.PERIOD:
        return pack_orders.order_pack(PackOrder(kind), by=iris)
    task = lifecycle.file_recommendation(
        {**catalogue().examples[0], "layers": ["relational-data"]},
        repository=repositories.register(
            "order-desk",
            project=company.project,
            files={"README.md": b"# Order desk\n"},
            written=datetime(2026, 1, 5, tzinfo=UTC),
            by=system_actor("test", "cli"),
        ),
        owner=company.people["ada"],
        by=company.people["ada"].actor("page", signed_in=JUST_NOW),
    )
    while runner.advance(task.pk):
        pass
    return pack_orders.export_pack(Proposal.objects.get(task=task), by=iris)


def built(pack):
    dossier.build(pack.pk, FileKeys(configured.KEYS_DIR))
    pack.refresh_from_db()
    assert pack.state == Pack.State.READY, pack.problem
    return pack


def content_of(pack):
    return artifact_store().get(pack.tenant_id, pack.sha256)


def members(pack):
    with ZipFile(BytesIO(content_of(pack))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def told(action):
    """Phase, outcome and facts of the entries of an action, oldest first."""
    sealed()
    rows = Entry.objects.filter(action=action).order_by("index")
    return [(row.said["phase"], row.outcome, Payload.objects.get(pk=row.pk).facts) for row in rows]


def assert_unstamped(pack, reason, by="127.0.0.1"):
    """Not a byte of the answer was kept, and the row and the entry of the question say why."""
    assert (pack.timestamp, pack.timestamped_at, pack.timestamped_by) == (None, None, "")
    assert reason in pack.timestamp_problem
    (intent, result) = told("pack.stamp")
    assert intent[:2] == ("intent", "ok")
    assert result[:2] == ("result", "failed")
    assert reason in f"{by}: {result[2]['problem']}"
    assert not OpenIntent.objects.exists()


def assert_went_out_without(pack):
    assert FILE not in members(pack)
    assert told("pack.build")[-1][2]["timestamp"] == {"problem": pack.timestamp_problem}


def stamped(company):
    """A pack that has asked about a head, without the work of building it."""
    pack = ordered(company)
    sealed()
    answer = stamping.stamped(pack, Checkpoint.objects.latest("size"))
    assert answer == pack.timestamp
    return pack


@pytest.fixture
def on_the_internet(authority, settings, monkeypatch):
    """As on servers: it has a public address and speaks http alone; this machine may not be asked.

    Whoever connects to that address, with all walls up, ends at the authority on this machine.
    """
    (public, port), host = ("93.184.215.14", 80), "tsa.example.com"
    here = ("127.0.0.1", urlsplit(settings.TIMESTAMP_URL).port)
    settings.TIMESTAMP_URL = f"http://{host}/tsr"
    settings.IDENTITY_ALLOW_LOOPBACK = False
    resolve, connect = socket.getaddrinfo, socket.create_connection

    def resolved(name, *args, **kwargs):
        return resolve(public if name == host else name, *args, **kwargs)

    def connected(address, *args, **kwargs):
        return connect(here if address == (public, port) else address, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(socket, "create_connection", connected)
    return authority


@pytest.mark.parametrize("kind", [Pack.Kind.PERIOD, Pack.Kind.PROPOSAL])
def test_a_pack_carries_a_token_that_the_verifier_accepts(kind, in_acme, authority, tmp_path):
    pack = built(ordered(in_acme, kind))

    (address, sort, _) = authority.asked[0]
    assert (address, sort, len(authority.asked)) == ("/tsr", "application/timestamp-query", 1)
    assert members(pack)[FILE] == bytes(pack.timestamp)
    assert (pack.timestamped_by, pack.timestamp_problem) == ("127.0.0.1", "")
    path, key, ca = tmp_path / "pack.zip", tmp_path / "log.vkey", tmp_path / "ca.pem"
    path.write_bytes(content_of(pack))
    key.write_text(dossier.log_key() or "")
    ca.write_bytes(authority.ca.pem)
    done = subprocess.run(
        [sys.executable, "-m", "countersign_verify", path, "--key", key, "--tsa-ca", ca],
        env={"PYTHONPATH": str(ROOT / "evidence" / "verifier")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "7 timestamp" in line]
    assert f"{pack.timestamped_at:%Y-%m-%dT%H:%M:%SZ}" in line
    assert line.endswith(POLICY)


def test_who_was_asked_and_what_came_of_it_is_on_record(in_acme, authority):
    pack = built(ordered(in_acme))

    (intent, result) = told("pack.stamp")
    assert (intent[:2], result[:2]) == (("intent", "ok"), ("result", "ok"))
    digest = query(Checkpoint.objects.get(size=pack.checkpoint_size).note).digest.hex()
    for facts in (intent[2], result[2]):
        said = (facts["authority"], facts["size"], facts["digest"])
        assert said == ("127.0.0.1", pack.checkpoint_size, digest)
    assert result[2]["policy"] == POLICY
    assert told("pack.build")[-1][2]["timestamp"]["by"] == "127.0.0.1"
    assert not OpenIntent.objects.exists()


def test_building_again_gives_the_same_bytes_and_asks_nobody(in_acme, authority):
    pack = built(ordered(in_acme))
    first = content_of(pack)
    Pack.objects.update(state=Pack.State.BUILDING, sha256="")

    assert content_of(built(pack)) == first
    assert len(authority.asked) == 1


def test_a_build_that_was_cut_off_after_the_answer_keeps_it(in_acme, authority, monkeypatch):
    pack = ordered(in_acme)
    with monkeypatch.context() as cut, pytest.raises(OSError, match="went away"):
        gone = Mock(side_effect=OSError("the machine went away"))
        cut.setattr("agent.range_pack.write_pack", gone)
        dossier.build(pack.pk, FileKeys(configured.KEYS_DIR))
    answer = gone.call_args.kwargs["timestamp"]

    assert members(built(pack))[FILE] == answer
    assert len(authority.asked) == 1


def test_nobody_is_asked_by_default(in_acme, monkeypatch):
    assert (configured.TIMESTAMP_URL, configured.TIMESTAMP_CA) == ("", b"")
    monkeypatch.setattr(queue, "stamp_pack", Mock(side_effect=AssertionError))

    pack = built(ordered(in_acme))

    assert FILE not in members(pack)
    assert (pack.timestamp_size, pack.timestamp_problem) == (None, "")
    assert told("pack.stamp") == []
    assert "timestamp" not in told("pack.build")[-1][2]


LIES = {
    "a token over something else": (
        lambda served, asked: served.authority.stamp(b"\x01" * 32),
        "over something else",
    ),
    "a token of another CA": (
        lambda served, asked: served.under(certified("another CA"), "other").answer(asked),
        "does not lead to TIMESTAMP_CA",
    ),
    "a token of a namesake": (
        lambda served, asked: served.under(certified("CA of times"), "namesake").answer(asked),
        "does not lead to TIMESTAMP_CA",
    ),
    "a refusal": (lambda served, asked: served.authority.answer(b"no query"), "it refuses"),
    "no DER": (lambda served, asked: b"<html>welcome</html>", "no time-stamp response in DER"),
    "a token with another signature": (
        lambda served, asked: (
            (said := served.authority.answer(asked))[:-2] + bytes([said[-2] ^ 1]) + said[-1:]
        ),
        "signature of its token does not fit",
    ),
    "too much": (lambda served, asked: bytes(LARGEST + 1), f"more than {LARGEST} bytes"),
}


@pytest.mark.parametrize("name", LIES)
def test_an_answer_that_is_not_sound_is_not_kept(name, in_acme, authority):
    lie, reason = LIES[name]
    authority.answer = lambda asked: lie(authority, asked)

    assert_unstamped(stamped(in_acme), reason)


def test_an_authority_on_the_internet_that_answers_over_http_alone_stamps(in_acme, on_the_internet):
    pack = stamped(in_acme)

    assert (pack.timestamped_by, pack.timestamp_problem) == ("tsa.example.com", "")
    assert [path for path, *_ in on_the_internet.asked] == ["/tsr"]
    assert told("pack.stamp")[-1][1] == "ok"


class Query:
    """What stands in a query (DER), as somebody on the way reads it."""

    def __init__(self, asked):
        at = asked.index(b"\x04\x20") + 2
        self.asked, self.digest = asked, asked[at : at + 32]
        length = asked[at + 33]
        self.nonce = asked[at + 34 : at + 34 + length]
        assert asked[at + 32] == 2

    def other(self, of):
        """Other bytes of the same length."""
        return of[:-1] + bytes([of[-1] ^ 1])


def meddled(of, back=False):
    """The authority is asked with another digest or nonce; back: ours is put into its answer."""

    def answer(served, asked):
        ours = getattr(Query(asked), of)
        theirs = Query(asked).other(ours)
        said = served.authority.answer(asked.replace(ours, theirs))
        assert theirs in said
        return said.replace(theirs, ours) if back else said

    return answer


def at_another_time(served, asked):
    said = served.authority.answer(asked)
    (last,) = re.findall(rb"\x18\x0f\d{13}(\d)Z", said)
    other = b"%d" % (int(last) ^ 1)
    return re.sub(rb"(\x18\x0f\d{13})\d(?=Z)", rb"\g<1>" + other, said)


def of_earlier(served, asked):
    return served.authority.stamp(Query(asked).digest)


UNFIT = "the signature of its token does not fit"
ON_THE_WAY = {
    "another digest": (meddled("digest"), "over something else"),
    "another digest, ours in the answer": (meddled("digest", back=True), UNFIT),
    "another nonce": (meddled("nonce"), "the nonce is not ours"),
    "another nonce, ours in the answer": (meddled("nonce", back=True), UNFIT),
    "a token about the same head from before": (of_earlier, "the nonce is not ours"),
    "a time of their own": (at_another_time, UNFIT),
    "a token of their own": LIES["a token of a namesake"],
    "a refusal": LIES["a refusal"],
    "too much": LIES["too much"],
}


@pytest.mark.parametrize("name", ON_THE_WAY)
def test_what_somebody_on_the_way_swaps_is_not_kept(name, in_acme, on_the_internet):
    meddle, reason = ON_THE_WAY[name]
    on_the_internet.answer = lambda asked: meddle(on_the_internet, asked)

    assert_unstamped(stamped(in_acme), reason, by="tsa.example.com")
    assert len(on_the_internet.asked) == 1


def test_over_http_nobody_is_led_elsewhere(in_acme, on_the_internet):
    on_the_internet.status = 302

    assert_unstamped(stamped(in_acme), "answers with a redirect", by="tsa.example.com")
    assert len(on_the_internet.asked) == 1


def test_a_token_for_another_question_about_the_same_head_is_not_kept(
    in_acme, authority, monkeypatch
):
    notes = []
    monkeypatch.setattr(stamping, "query", lambda note: notes.append(note) or query(note))
    authority.answer = lambda asked: authority.authority.answer(query(notes[0]).der)

    assert_unstamped(stamped(in_acme), "the nonce is not ours")


def test_a_token_without_a_nonce_is_not_kept(in_acme, authority, monkeypatch):
    made = []
    monkeypatch.setattr(stamping, "query", lambda note: made.append(query(note)) or made[-1])
    authority.answer = lambda asked: authority.authority.without_nonce(made[0].digest)

    assert_unstamped(stamped(in_acme), "the nonce is not ours")


def test_an_authority_that_has_an_error_is_named_with_its_status(in_acme, authority):
    authority.status = 503

    assert_unstamped(stamped(in_acme), "127.0.0.1: it answers with status 503")


def test_an_authority_that_is_down_does_not_keep_a_pack(in_acme, authority, settings):
    settings.TIMESTAMP_URL = "http://127.0.0.1:1/tsr"

    pack = built(ordered(in_acme))

    assert_went_out_without(pack)
    assert_unstamped(pack, "does not answer as it should")


def test_without_tls_no_authority_but_one_on_this_machine_is_asked(in_acme, authority, settings):
    settings.IDENTITY_ALLOW_LOOPBACK = False

    assert_unstamped(stamped(in_acme), "no address that this portal may ask")
    assert authority.asked == []


def test_a_pack_does_not_wait_for_workers_that_are_busy_and_a_late_answer_changes_nothing(
    in_acme, authority, monkeypatch
):
    monkeypatch.setattr(queue, "stamp_pack", Mock())
    monkeypatch.setattr(stamping, "PATIENCE", 0)
    pack = ordered(in_acme)

    built(pack)
    stamping.ask(pack.pk)

    pack.refresh_from_db()
    assert_went_out_without(pack)
    assert "no answer of the authority was here" in pack.timestamp_problem
    assert (authority.asked, told("pack.stamp")) == ([], [])


def test_an_answer_that_comes_when_the_pack_has_gone_out_is_not_kept(
    in_acme, authority, monkeypatch
):
    monkeypatch.setattr(queue, "stamp_pack", Mock())
    monkeypatch.setattr(stamping, "PATIENCE", 0)
    pack = stamped(in_acme)
    Pack.objects.update(timestamp_problem="")

    checked = stamping.checked

    def late(*given):
        stamp = checked(*given)
        Pack.objects.update(timestamp_problem="it went out")
        return stamp

    monkeypatch.setattr(stamping, "checked", late)
    stamping.ask(pack.pk)

    pack.refresh_from_db()
    assert (pack.timestamp, pack.timestamp_problem) == (None, "it went out")
    assert len(authority.asked) == 1


def test_the_page_of_a_pack_says_who_stamped_it_or_why_nobody_did(
    acme, authority, sign_in, settings
):
    with tenant_scope(acme.scope):
        with_token = built(ordered(acme))
        authority.status = 500
        without = built(ordered(acme))
        settings.TIMESTAMP_URL = ""
        unasked = built(ordered(acme))
    iris = sign_in(acme, "iris")

    pages = [
        iris.get(f"/packs/{one.pk}/").content.decode() for one in (with_token, without, unasked)
    ]

    assert f"by 127.0.0.1 at {with_token.timestamped_at:%Y-%m-%d %H:%M:%S} UTC" in pages[0]
    assert "Not time-stamped" not in pages[0]
    assert "127.0.0.1: it answers with status 500" in pages[1]
    assert "No time-stamping authority was asked" in pages[2]
    said = iris.get(f"/api/v1/packs/{with_token.pk}").json()
    assert (said["timestamped_by"], said["timestamp_problem"]) == ("127.0.0.1", "")
    assert "status 500" in iris.get(f"/api/v1/packs/{without.pk}").json()["timestamp_problem"]


@pytest.mark.parametrize(
    ("address", "ca", "said"),
    [
        ("ftp://tsa.example.com/", "ca", "TIMESTAMP_URL must look like https://"),
        ("http://user:word@tsa.example.com/", "ca", "TIMESTAMP_URL must look like https://"),
        ("http://tsa.example.com/tsr", "ca", None),
        ("https://tsa.example.com/", "", "go together"),
        ("", "ca", "go together"),
        ("https://tsa.example.com/", "gone", "TIMESTAMP_CA: there is no file"),
        ("https://tsa.example.com/", "words", "holds no certificate"),
        ("https://tsa.example.com/", "leaf", "signed itself, as a CA does"),
        ("https://tsa.example.com/tsr", "ca", None),
    ],
)
def test_wrong_settings_stop_the_start_and_say_why(address, ca, said, tmp_path):
    made = certified("CA of times")
    (tmp_path / "ca").write_bytes(made.pem)
    (tmp_path / "leaf").write_bytes(certified("it", made).pem)
    (tmp_path / "words").write_text("no certificate")
    values = {name: v for name, v in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    changes = {"TIMESTAMP_URL": address, "TIMESTAMP_CA": str(tmp_path / ca) if ca else ""}

    started = subprocess.run(
        [sys.executable, "-c", "from portal import settings as s; print(s.TIMESTAMP_URL)"],
        cwd=ROOT,
        env=values | changes,
        capture_output=True,
        text=True,
        check=False,
    )

    if said is None:
        assert (started.returncode, started.stdout.strip()) == (0, address), started.stderr
    else:
        assert started.returncode != 0
        assert said in started.stderr
