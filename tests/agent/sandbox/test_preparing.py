"""Environments of wheels, made without a network; the one way out while packages are fetched."""

import dataclasses
import io
import socket
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

from agent.sandbox import Ended, Job, engine, preparing
from agent.sandbox.egress import Allowed, Proxy
from tests.agent.package_registry import HOST, wheel

MAIN = "def main():\n    print('hello from a package')\n"
WHEELS = {"greeting-1.0-py3-none-any.whl": wheel("greeting", "1.0", MAIN)}


@pytest.fixture
def gvisor(tmp_path):
    runs = Path(tempfile.mkdtemp(prefix="runs-"))
    return dataclasses.replace(engine(), store=tmp_path / "environments", runs=runs)


def test_an_environment_is_made_once_and_used_without_a_network(gvisor):
    environment = preparing.from_wheels(WHEELS, engine=gvisor)
    again = preparing.from_wheels(WHEELS, engine=gvisor)
    outcome = gvisor.run(Job(("greeting",), {}, environment=environment))

    assert outcome.stdout == b"hello from a package\n", outcome.stderr
    assert outcome.environment_digest == environment.digest
    assert again == environment
    assert list(environment.path.rglob("greeting*.pyc"))
    assert environment.digest != gvisor.run(Job(("true",), {})).environment_digest


def test_a_pip_that_trusts_the_machines_certificates_installs_where_there_are_none(
    gvisor, monkeypatch
):
    debians = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(preparing._pip())) as pip,
        zipfile.ZipFile(debians, "w") as patched,
    ):
        for name in pip.namelist():
            content = pip.read(name)
            if name == "pip/_vendor/certifi/core.py":
                content += b"\ndef where(): return '/etc/ssl/certs/ca-certificates.crt'\n"
            patched.writestr(name, content)
    monkeypatch.setattr(preparing, "_pip", debians.getvalue)

    environment = preparing.from_wheels(WHEELS, engine=gvisor)

    outcome = gvisor.run(Job(("greeting",), {}, environment=environment))
    assert outcome.stdout == b"hello from a package\n", outcome.stderr


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        (b"CONNECT elsewhere.test:443 HTTP/1.1", b"403"),
        (b"CONNECT packages.test:22 HTTP/1.1", b"403"),
        (b"CONNECT 127.0.0.1:443 HTTP/1.1", b"403"),
        (b"CONNECT packages.test.evil.test:443 HTTP/1.1", b"403"),
        (b"GET http://packages.test/ HTTP/1.1", b"405"),
        (b"CONNECT packages.test:443\r\nX HTTP/1.1", b"405"),
    ],
)
def test_the_proxy_knows_a_few_hosts_and_one_port(request_line, answer):
    with Proxy(Allowed(frozenset({HOST}))) as proxy, socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(10)
        asked.connect(str(proxy.folder / "proxy"))
        asked.sendall(request_line + b"\r\n\r\n")

        assert asked.recv(100).split()[1] == answer


def test_a_name_that_leads_into_our_own_network_is_not_followed():
    assert Allowed(frozenset({"localhost"})).address("localhost", 443) is None


def test_what_fetching_may_reach_a_job_may_not(gvisor):
    job = Job(("sh", "-c", "ls -d /egress; ls /egress"), {})

    outcome = gvisor.run(job)

    assert (outcome.ended, outcome.stdout) == (Ended.EXITED, b"")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../up", tarfile.REGTYPE),
        ("/lib/up", tarfile.REGTYPE),
        ("lib/link", tarfile.SYMTYPE),
        ("lib/hard", tarfile.LNKTYPE),
        ("lib/pipe", tarfile.FIFOTYPE),
        ("lib/device", tarfile.CHRTYPE),
        ("lib/" + "d/" * 100 + "x", tarfile.REGTYPE),
    ],
)
def test_packages_bring_plain_files_only(tmp_path, name, kind):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)

    with pytest.raises(preparing.CannotPrepare):
        preparing._unpack(out.getvalue(), tmp_path / "environment")
    assert not (tmp_path / "up").exists()


def test_packages_do_not_replace_the_interpreter(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/opt/python/bin/python3.13")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("bin/python")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))

    preparing._unpack(out.getvalue(), tmp_path)

    assert (tmp_path / "bin" / "python").is_symlink()
