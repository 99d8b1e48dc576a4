"""Packages from a registry: its pages, what is refused, what is kept; a real one on loopback."""

import dataclasses
import hashlib

import pytest

from agent.packages import CannotResolve, Shelf, hashes, resolved
from agent.registry import Offers, Registry, RegistryFault, kept
from agent.sandbox import engine
from tests.agent.package_registry import FILES_HOST, HOST, serving, wheel


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


@pytest.fixture
def served(running):
    for rows in (running.files, running.digests, running.redirects, running.asked):
        rows.clear()
    running.as_json, running.files_at, running.broken = True, f"https://{HOST}", False
    return running


@pytest.fixture
def offers(served, tmp_path):
    opened = []

    def made(known=None, **also):
        registry = Registry(served.index, (), served.addresses, served.certificates)
        registry = dataclasses.replace(registry, **also)
        folder = tmp_path / "fetched"
        found = Offers(registry, engine(), known=known or {}, keep=folder)
        opened.append(found)
        return found

    yield made
    for one in opened:
        one.__exit__(None, None, None)


def test_wheels_come_with_what_they_need_and_are_kept_by_digest(served, offers, tmp_path):
    greeting = served.add("greeting", "1.0", needs=("words>=2",))
    words = served.add("words", "2.1")
    served.add("words", "1.0")
    found = offers()

    whole = resolved({"requirements.txt": b"greeting==1.0\n"}, Shelf([], found.wheels))

    assert {name: str(one.version) for name, one in whole.wheels.items()} == {
        "greeting": "1.0",
        "words": "2.1",
    }
    assert {one.file: one.sha256 for one in found.fetched} == {
        "greeting-1.0-py3-none-any.whl": greeting,
        "words-2.1-py3-none-any.whl": words,
    }
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == sorted(
        [greeting, words]
    )
    rows = [one.to_json() for one in found.fetched]
    again = kept(rows, tmp_path / "fetched")
    assert [hashlib.sha256(one.read()).hexdigest() for one in again] == [greeting, words]


def test_what_is_kept_is_not_fetched_again_and_must_be_what_was_fetched(served, offers, tmp_path):
    digest = served.add("greeting", "1.0")
    [one] = offers().wheels("greeting")
    one.read()
    asked = len(served.asked)
    [again] = offers().wheels("greeting")

    assert again.read() == one.read()
    assert [path for _, path in served.asked[asked:]] == ["/simple/greeting/"]
    (tmp_path / "fetched" / digest).write_bytes(b"changed")
    with pytest.raises(RegistryFault, match="no longer what was fetched"):
        one.read()
    row = {"file": one.file, "sha256": "0" * 64}
    with pytest.raises(RegistryFault, match="is gone from this machine"):
        kept([row], tmp_path / "fetched")


@pytest.mark.parametrize("as_json", [True, False])
def test_both_forms_of_an_index_are_read(served, offers, as_json):
    served.as_json = as_json
    served.add("greeting", "1.0")
    served.add("greeting", "1.1")
    served.files["greeting-1.2.tar.gz"] = b"source"
    # A file without a digest could be anything; a name with folders in it would lie elsewhere.
    served.files["greeting-3.0-py3-none-any.whl"] = b"x"
    served.digests["greeting-3.0-py3-none-any.whl"] = ""
    served.files["greeting-4.0-py3-none-any.whl"] = b"x"
    served.digests["greeting-4.0-py3-none-any.whl"] = "../../../etc/passwd"
    found = offers()

    assert sorted(str(one.version) for one in found.wheels("Greeting")) == ["1.0", "1.1"]
    assert found.sources["greeting"] == ["greeting-1.2.tar.gz"]
    assert found.wheels("unheard-of") == []


def test_a_file_with_another_digest_than_the_index_names_is_thrown_away(served, offers, tmp_path):
    served.add("greeting", "1.0")
    served.digests["greeting-1.0-py3-none-any.whl"] = "a" * 64
    [one] = offers().wheels("greeting")

    with pytest.raises(RegistryFault, match=r"not a{64} as the index says") as refused:
        one.read()

    assert refused.value.denied
    assert not (tmp_path / "fetched").exists()


def test_a_file_with_another_digest_than_the_repository_names_is_not_taken(served, offers):
    served.add("greeting", "1.0")
    lock = f"greeting==1.0 \\\n    --hash=sha256:{'b' * 64}\n".encode()
    found = offers(hashes({"requirements.txt": lock}))

    with pytest.raises(RegistryFault, match="another SHA-256 than the repository") as refused:
        found.wheels("greeting")

    assert refused.value.denied
    assert [path for _, path in served.asked] == ["/simple/greeting/"]


def test_a_host_that_is_not_named_is_not_reached(served, offers):
    served.add("greeting", "1.0")
    served.files_at = f"https://{FILES_HOST}"
    [one] = offers().wheels("greeting")
    with pytest.raises(RegistryFault, match=r"files\.test:443, which is not allowed") as refused:
        one.read()
    assert refused.value.denied
    assert {host for host, _ in served.asked} == {HOST}

    [named] = offers(hosts=(FILES_HOST,)).wheels("greeting")

    assert named.read() == wheel("greeting", "1.0")
    assert {host for host, _ in served.asked} == {HOST, FILES_HOST}


@pytest.mark.parametrize(
    ("leads_to", "said"),
    [
        ("https://elsewhere.test/x.whl", "elsewhere.test:443, which is not allowed"),
        (f"http://{HOST}/x.whl", "an address without TLS"),
        ("file:///etc/passwd", "answered .* with 302"),
    ],
)
def test_a_redirect_does_not_lead_to_where_one_may_not_go(served, offers, leads_to, said):
    served.add("greeting", "1.0")
    served.redirects["/files/greeting-1.0-py3-none-any.whl"] = leads_to
    [one] = offers().wheels("greeting")

    with pytest.raises(RegistryFault, match=said):
        one.read()


def test_a_registry_that_is_down_or_unknown_is_told_as_that(served, offers):
    nobody = {HOST: ("127.0.0.1", 1)}
    with pytest.raises(RegistryFault, match=r"packages\.test:443 cannot be reached") as down:
        offers(addresses=nobody).wheels("greeting")
    assert not down.value.denied

    served.broken = True
    with pytest.raises(RegistryFault, match=r"answered .*greeting/ with 503"):
        offers().wheels("greeting")
    # Nobody has vouched for its certificate.
    with pytest.raises(RegistryFault, match="CERTIFICATE_VERIFY_FAILED"):
        offers(certificates=None).wheels("greeting")


def test_a_package_of_ones_own_is_never_looked_up_elsewhere(served, offers):
    served.add("coinage", "99.0")
    vendored = {"vendor/coinage-1.0-py3-none-any.whl": wheel("coinage", "1.0")}
    shelf = Shelf.of(vendored, engine().store / "none", elsewhere=offers().wheels)

    assert [str(one.version) for one in shelf.versions("coinage")] == ["1.0"]
    assert served.asked == []
    with pytest.raises(CannotResolve, match=r"at hand are 1\.0"):
        resolved({**vendored, "requirements.txt": b"coinage>=2\n"}, shelf)


def test_digests_are_read_from_every_kind_of_lock():
    one, two, three = "1" * 64, "2" * 64, "3" * 64
    text = (
        f"a-b[x]==1.0 ; python_version > '3' \\\n  --hash=sha256:{one} \\\n"
        f"  --hash=sha256:{two}\nplain==2\n"
    )
    uv = (
        '[[package]]\nname = "c"\nversion = "3"\nsource = { registry = "https://x.test/" }\n'
        f'wheels = [\n    {{ url = "https://x.test/c.whl", hash = "sha256:{three}" }},\n]\n'
    )

    assert hashes({"requirements.txt": text.encode(), "uv.lock": uv.encode()}) == {
        ("a-b", "1.0"): {one, two},
        ("c", "3"): {three},
    }
