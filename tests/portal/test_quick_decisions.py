"""What programs ask with a token is answered as by Django, only sooner; and on record first."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from itertools import product
from uuid import uuid4

import pytest
from django.conf import settings as in_force
from django.test import Client
from django.utils import timezone

from authz import questions
from authz.models import ApiToken, Grant, Share
from authz.permissions import Permission
from authz.roles import Role
from authz.tokens import PREFIX, digest_of
from evidence.spool import SpoolFault, read_frames
from portal.api import quick
from tenants.models import Membership, Project
from tenants.scope import tenant_scope
from tests.portal.standing import pack_of, proposal_of, task_of


@pytest.fixture
def token_of(acme):
    """Makes a token with every scope, or the given ones, for somebody of a company."""

    def made(name: str, scopes=tuple(Permission), company=acme, **fields) -> str:
        secret = PREFIX + uuid4().hex
        with tenant_scope(company.scope):
            ApiToken.objects.create(
                user=company.people[name],
                name="test",
                digest=digest_of(secret),
                hint=secret[:10],
                scopes=[str(scope) for scope in scopes],
                made_by="test",
                **{"expires_at": timezone.now() + timedelta(days=1), **fields},
            )
        return secret

    return made


class Otherwise:
    """Stands where Django stands, and remembers what reached it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"the long way"})


@pytest.fixture
def quickly(acme):
    """Asks the quick door: (status, answer); 299 when it was handed on to Django."""
    otherwise = Otherwise()
    app = quick.QuickDecisions(otherwise)

    async def asked_once(secret, body, headers, method, path):
        sent = []
        parts = [body[: len(body) // 2], body[len(body) // 2 :]]

        async def receive():
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "scheme": "http",
            "headers": [
                (b"host", headers.pop("host", acme.host).encode()),
                (b"authorization", f"Bearer {secret}".encode()),
                *((name.encode(), value.encode()) for name, value in headers.items()),
            ],
        }
        await app(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]

    def asked(secret, *wanted, body=None, method="POST", path=quick.PATH, **headers):
        said = [dict(zip(("permission", "type", "id"), one, strict=False)) for one in wanted]
        content = json.dumps({"questions": said}).encode() if body is None else body
        status, answer = asyncio.run(asked_once(secret, content, headers, method, path))
        return status, json.loads(answer) if status == 200 else answer

    asked.together = lambda many: asyncio.run(_together(asked_once, many))
    asked.otherwise = otherwise
    return asked


async def _together(ask, many):
    said = [
        ask(secret, json.dumps({"questions": wanted}).encode(), {}, "POST", quick.PATH)
        for secret, wanted in many
    ]
    return [(status, json.loads(body)) for status, body in await asyncio.gather(*said)]


def by_django(company, secret, wanted):
    said = [dict(zip(("permission", "type", "id"), one, strict=False)) for one in wanted]
    return Client(headers={"host": company.host}).post(
        quick.PATH,
        json.dumps({"questions": said}),
        content_type="application/json",
        headers={"authorization": f"Bearer {secret}"},
    )


@pytest.fixture
def things(acme, globex):
    """One of each kind in a project, one task where nobody is, one elsewhere, one not there."""
    with tenant_scope(acme.scope):
        task = task_of(acme.people["ada"], acme.project)
        proposal = proposal_of(acme.people["ada"], acme.project)
        other = Project.objects.create(slug="other", name="Other")
        hidden = task_of(acme.people["ada"], acme.project)
        type(hidden).objects.filter(pk=hidden.pk).update(project=other)
        pack = pack_of(proposal)
        found = [
            ("tenant",),
            ("project", str(acme.project.pk)),
            ("project", str(other.pk)),
            ("repository", str(proposal.repository_id)),
            ("task", str(task.pk)),
            ("task", str(hidden.pk)),
            ("proposal", str(proposal.pk)),
            ("pack", str(pack.pk)),
            ("task", str(uuid4())),
            ("proposal", str(task.pk)),
        ]
    with tenant_scope(globex.scope):
        found.append(("task", str(task_of(globex.people["ada"], globex.project).pk)))
    return found


@pytest.mark.parametrize("name", ["tomas", "ada", "bo", "iris"])
def test_every_plain_question_is_answered_as_by_django(acme, things, token_of, quickly, name):
    secret = token_of(name)
    wanted = [(permission.value, *thing) for permission, thing in product(questions.PLAIN, things)]
    answers = []
    for first in range(0, len(wanted), quick.MOST):
        some = wanted[first : first + quick.MOST]
        status, answer = quickly(secret, *some)
        assert status == 200
        assert answer == by_django(acme, secret, some).json()
        answers += answer

    assert {one["allowed"] for one in answers} == {True, False}
    assert len(questions.PLAIN) > 15


def test_a_token_reaches_no_further_than_its_scopes(acme, things, token_of, quickly):
    secret = token_of("ada", scopes=[Permission.TASK_VIEW])
    wanted = [(p, "task", things[4][1]) for p in ("task.view", "task.message")]

    status, answer = quickly(secret, *wanted)

    assert status == 200
    assert [one["allowed"] for one in answer] == [True, False]
    assert answer == by_django(acme, secret, wanted).json()


@pytest.mark.parametrize(
    "taken",
    ["token", "membership", "role"],
)
def test_what_is_taken_away_is_gone_for_the_next_question(acme, things, token_of, quickly, taken):
    secret = token_of("bo")
    wanted = ("task.view", *things[4])
    status, [before] = quickly(secret, wanted)
    assert (status, before["allowed"]) == (200, True)

    with tenant_scope(acme.scope):
        bo = acme.people["bo"]
        match taken:
            case "token":
                ApiToken.objects.filter(user=bo).update(revoked_at=timezone.now())
            case "membership":
                Membership.objects.filter(user=bo).update(state="suspended")
            case "role":
                Grant.objects.filter(user=bo, role=Role.DEVELOPER).delete()
    status, answer = quickly(secret, wanted)

    if taken == "role":
        assert (status, answer[0]["allowed"]) == (200, False)
    else:
        assert status == 299


def test_what_is_given_counts_for_the_next_question(acme, things, token_of, quickly):
    secret = token_of("bo")
    wanted = ("task.view", *things[5])
    assert not quickly(secret, wanted)[1][0]["allowed"]

    with tenant_scope(acme.scope):
        Share.objects.create(
            object_type="task", object_id=things[5][1], user=acme.people["bo"], shared_by="test"
        )

    assert quickly(secret, wanted)[1][0]["allowed"]


def test_what_was_shared_and_is_gone_is_not_there(acme, things, token_of, quickly):
    secret, gone = token_of("bo"), uuid4()
    with tenant_scope(acme.scope):
        Share.objects.create(
            object_type="task", object_id=gone, user=acme.people["bo"], shared_by="test"
        )
    wanted = ("task.view", "task", str(gone))

    _, answer = quickly(secret, wanted)

    assert not answer[0]["allowed"]
    assert answer == by_django(acme, secret, [wanted]).json()


def _long(permission="task.view", type="tenant", **more):
    return json.dumps({"questions": [{"permission": permission, "type": type, **more}]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"questions": []}',
        b'{"questions": [7]}',
        _long("no.such"),
        _long("proposal.countersign"),  # policies
        _long("session.end"),  # of one's own
        _long(type="planet"),
        _long(type="task"),
        _long(type="task", id="seven"),
        _long(type="task", id=7),
        b'{"questions": [' + b"7," * quick.LARGEST + b"7]}",
        b"[" * 50_000,
    ],
    ids=lambda body: body[:60].decode(),
)
def test_all_that_is_not_plain_reaches_django_whole(acme, token_of, quickly, body):
    status, _ = quickly(token_of("ada"), body=body)

    assert status == 299
    assert quickly.otherwise.bodies == [body]


@pytest.mark.parametrize(
    ("how", "more"),
    [
        ("another address", {"path": "/api/v1/tasks"}),
        ("another method", {"method": "GET"}),
        ("no such host", {"host": "nobody.localhost"}),
        ("a host that is not ours", {"host": "acme.example.org"}),
    ],
)
def test_other_requests_reach_django(token_of, quickly, how, more):
    assert quickly(token_of("ada"), ("task.view", "tenant"), **more)[0] == 299


def _head(host, *more, scheme="http"):
    headers = [(b"host", host.encode()), (b"authorization", b"Bearer cst_x"), *more]
    asked = {"type": "http", "method": "POST", "path": quick.PATH}
    return quick._head({**asked, "scheme": scheme, "headers": headers})


@pytest.mark.parametrize(
    "again", [(b"host", b"globex.localhost"), (b"authorization", b"Bearer cst_y")]
)
def test_who_or_where_said_twice_is_left_to_django(acme, again):
    assert _head(acme.host).secret == "cst_x"
    assert _head(acme.host, again) is None


def test_where_only_https_is_spoken_nothing_else_is_answered(acme, settings):
    settings.SECURE_SSL_REDIRECT = True

    assert _head(acme.host, scheme="https").secret == "cst_x"
    assert _head(acme.host) is None


def test_a_host_that_the_portal_does_not_answer_to_is_left_to_django(acme, settings):
    settings.ALLOWED_HOSTS = ["elsewhere.example"]

    assert _head("elsewhere.example").host == "elsewhere.example"
    assert _head(acme.host) is None


@pytest.mark.parametrize(
    "fields",
    [{"expires_at": timezone.now() - timedelta(seconds=1)}, {"revoked_at": timezone.now()}],
    ids=["expired", "revoked"],
)
def test_a_token_that_is_not_good_reaches_django(token_of, quickly, fields):
    assert quickly(token_of("ada", **fields), ("task.view", "tenant"))[0] == 299
    assert quickly("cst_wrong", ("task.view", "tenant"))[0] == 299
    assert quickly("something", ("task.view", "tenant"))[0] == 299


def test_a_token_is_worth_nothing_at_another_company(acme, globex, token_of, quickly):
    assert quickly(token_of("ada", company=globex), ("task.view", "tenant"))[0] == 299
    assert (
        quickly(token_of("ada", company=globex), ("task.view", "tenant"), host=globex.host)[0]
        == 200
    )


def test_many_at_once_of_two_companies_get_their_own_answers(
    acme, globex, things, token_of, quickly, monkeypatch
):
    syncs = []
    append = questions.onrecord.spool_in(in_force.SPOOL_DIR).append
    monkeypatch.setattr(
        "evidence.spool.Spool.append",
        lambda self, records: syncs.append(len(records)) or append(records),
    )
    task = {"permission": "task.view", "type": "task", "id": things[4][1]}
    tenant = {"permission": "ledger.view", "type": "tenant"}
    ada, iris = token_of("ada"), token_of("iris")
    many = [(ada, [task]), (iris, [tenant]), (ada, [tenant]), (iris, [task])] * 10

    answers = quickly.together(many)

    assert {status for status, _ in answers} == {200}
    assert [answer[0]["allowed"] for _, answer in answers] == [True, True, False, True] * 10
    assert len(syncs) < len(many)  # those that wait together share one wait for the disk
    assert sum(syncs) == len(many)  # and each question leaves its record


def _spooled(trace):
    frames = [
        one.said
        for path in in_force.SPOOL_DIR.glob("*.spool")
        for one in read_frames(path)
        if one.said.get("trace") == trace
    ]
    return sorted(frames, key=lambda one: one["seq"])


def test_each_answer_is_on_disk_with_its_trace_before_it_is_sent(acme, things, token_of, quickly):
    secret, trace = token_of("bo"), uuid4().hex
    wanted = [("task.view", *things[4]), ("task.view", *things[5]), ("ledger.view", "tenant")]

    quickly(secret, *wanted, traceparent=f"00-{trace}-{'1' * 16}-01")
    said = _spooled(trace)

    assert [(one["action"], one["object_type"], one["outcome"]) for one in said] == [
        ("task.view", "task", "ok"),
        ("task.view", "task", "denied"),
        ("ledger.view", "tenant", "denied"),
    ]
    assert {one["actor_id"] for one in said} == {str(acme.people["bo"].pk)}
    assert {one["tenant"] for one in said} == {str(acme.scope.tenant_id)}
    assert said[0]["relation_path"]
    assert said[0]["revision"]
    assert said[0]["latency_ms"] > 0
    assert {one["door"] for one in said} == {"api"}


def test_an_answer_that_cannot_be_put_on_disk_is_not_given(token_of, quickly, monkeypatch):
    def full(self, records):
        raise SpoolFault("no space left")

    secret = token_of("ada")
    monkeypatch.setattr("evidence.spool.Spool.append", full)

    assert quickly(secret, ("task.view", "tenant"))[0] == 299


def test_a_closed_company_is_answered_by_django(acme, token_of, quickly, monkeypatch):
    secret = token_of("ada")
    closed = replace(acme.scope, suspended=True)
    monkeypatch.setattr(questions, "scopes_of_hosts", lambda hosts: dict.fromkeys(hosts, closed))

    assert quickly(secret, ("task.view", "tenant"))[0] == 299


def test_the_token_is_seen_to_be_in_use(acme, token_of, quickly):
    secret = token_of("ada")
    quickly(secret, ("task.view", "tenant"))

    with tenant_scope(acme.scope):
        assert ApiToken.objects.get(digest=digest_of(secret)).used_at is not None
