"""Jobs on a cluster: submitted, watched, read and ended over its API. The server is a double."""

import datetime
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from api_server import TOKEN, Cluster, served
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.sandbox import Ended, Job, Limits, SandboxUnavailable, cluster

IMAGE = "images.example/python@sha256:" + "a" * 64
PATIENT = Limits(wall_s=600)


def _certificate() -> tuple[bytes, bytes]:
    """A certificate for localhost, its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


@contextmanager
def _context(certificate: bytes, private: bytes) -> Iterator[ssl.SSLContext]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as both:
        both.write(certificate + private)
        both.flush()
        context.load_cert_chain(both.name)
    yield context


@pytest.fixture
def double():
    return Cluster("countersign-sandbox")


@pytest.fixture
def engine(double, tmp_path):
    certificate, private = _certificate()
    (tmp_path / "ca.pem").write_bytes(certificate)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with _context(certificate, private) as context, served(double, context) as address:
        made = cluster.Cluster(
            address,
            "countersign-sandbox",
            IMAGE,
            tmp_path / "token",
            tmp_path / "ca.pem",
            every=0.05,
        )
        yield made
        made._pool.clear()


def test_a_job_brings_its_output_its_exit_code_and_its_artifacts_back(engine, double):
    heard = []
    script = "echo out; echo err >&2; cat /job/in.txt > got.txt; echo no > left.md; exit 3"
    job = Job(
        ("sh", "-c", script),
        {"a.py": b"1"},
        inputs={"in.txt": b"given"},
        collect=("*.txt",),
        limits=PATIENT,
    )

    outcome = engine.run(job, on_output=heard.append)

    assert (outcome.ended, outcome.exit_code) == (Ended.EXITED, 3)
    assert sorted(outcome.stdout.splitlines()) == [b"err", b"out"]
    assert b"".join(heard) == outcome.stdout
    assert outcome.artifacts == {"got.txt": b"given"}
    assert (outcome.tier, outcome.environment_digest) == ("kubernetes", "a" * 64)
    assert (double.jobs, double.files, double.pods) == ({}, {}, {})


def test_a_cancelled_job_is_deleted_and_gone_before_anybody_is_told(engine, double):
    heard = []

    outcome = engine.run(
        Job(("sh", "-c", "echo up; sleep 600"), {}, limits=PATIENT),
        on_output=heard.append,
        cancelled=lambda: bool(heard),
    )

    assert (outcome.ended, outcome.exit_code) == (Ended.CANCELLED, None)
    assert outcome.stdout == b"up\n"
    assert (double.jobs, double.pods) == ({}, {})
    deleted = next(n for n, asked in enumerate(double.asked) if asked.startswith("DELETE"))
    assert double.asked[deleted + 1].endswith("/pods")


@pytest.mark.parametrize(
    ("command", "limits", "ended"),
    [
        ("sleep 600", Limits(wall_s=1), Ended.TIMED_OUT),
        (
            "head -c 9000 /dev/zero; sleep 600",
            Limits(wall_s=600, output_bytes=5_000),
            Ended.OUTPUT_LIMIT,
        ),
    ],
)
def test_a_job_that_goes_too_far_is_ended_and_the_reason_told(
    engine, double, command, limits, ended
):
    outcome = engine.run(Job(("sh", "-c", command), {}, limits=limits))

    assert outcome.ended is ended
    assert len(outcome.stdout) <= limits.output_bytes
    assert double.pods == {}


def test_a_job_that_the_cluster_killed_for_its_memory_says_so(engine, double):
    double.fate = "OOMKilled"

    assert engine.run(Job(("true",), {}, limits=PATIENT)).ended is Ended.OUT_OF_MEMORY


def test_a_job_whose_image_is_not_there_does_not_start(engine, double):
    double.fate = "ErrImageNeverPull"

    assert engine.run(Job(("true",), {}, limits=PATIENT)).ended is Ended.FAILED_TO_START
    assert double.jobs == {}


def test_a_job_that_the_cluster_ended_at_its_deadline_timed_out(engine, double):
    def expire(output):
        double.expire(next(iter(double.jobs)))

    outcome = engine.run(
        Job(("sh", "-c", "echo up; sleep 600"), {}, limits=PATIENT), on_output=expire
    )

    assert outcome.ended is Ended.TIMED_OUT


def test_what_dead_workers_left_on_the_cluster_is_reaped_and_what_runs_is_not(engine, double):
    def look(output):
        name = next(iter(double.jobs))
        assert engine.reap() == 0
        double.expire(name)
        assert engine.reap() == 1
        assert double.jobs == {}

    outcome = engine.run(
        Job(("sh", "-c", "echo up; sleep 600"), {}, limits=PATIENT), on_output=look
    )

    assert outcome.ended is Ended.TIMED_OUT


def test_without_a_good_token_or_certificate_nothing_is_run(engine, double, tmp_path):
    (tmp_path / "token").write_text("another")
    with pytest.raises(SandboxUnavailable, match="401: Unauthorized"):
        engine.run(Job(("true",), {}))

    (tmp_path / "other.pem").write_bytes(_certificate()[0])
    with pytest.raises(SandboxUnavailable, match="certificate"):
        replace(engine, certificates=tmp_path / "other.pem").run(Job(("true",), {}))
    assert double.jobs == {}


def test_an_object_that_is_not_what_the_schema_says_is_refused(engine, monkeypatch):
    def spoilt(*_, **__):
        files, work = objects(*_, **__)
        return [files, work | {"unknown": 1}]

    objects = cluster.kubernetes.objects
    monkeypatch.setattr(cluster.kubernetes, "objects", spoilt)

    with pytest.raises(SandboxUnavailable, match="422"):
        engine.run(Job(("true",), {}))


def test_nobody_talks_to_a_job_on_a_cluster(engine):
    with pytest.raises(SandboxUnavailable, match="cannot be talked to"):
        engine.open(Job(("true",), {}))
