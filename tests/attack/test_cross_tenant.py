"""Every door is tried by people of another tenant and by nobody; none tells or does anything."""

import difflib
import inspect
import json
import re
import time
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, reset_queries, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from authz import decisions
from evidence.models import StagedEntry
from portal.celery import app
from tenants.errors import NoTenant
from tenants.jobs import HEADER, TenantlessJob
from tenants.models import DirectoryRequest
from tenants.scope import tenant_scope
from tests.attack import doors
from tests.attack.doors import PARAMETER, Door
from tests.attack.recipes import COMMANDS, JOBS, PARAMETERS, RECIPES, Recipe
from tests.attack.two_companies import nowhere

ADDRESSES = doors.addresses()
PLACE = "tests/attack/recipes.py"

# Written by merely coming in: when a session or a token was used last, what a directory asked.
TRACES = {
    "tenants_session",
    "tenants_membership",
    "authz_apitoken",
    "tenants_directoryclient",
    "tenants_directoryrequest",
}
LEDGER = "evidence_stagedentry"

# How often a pair is asked before a difference in queries counts. A first draft takes queries that
# the next does not, and once a minute it is noted that a session or token is in use: either passes,
# both may fall together. What tells “not yours” from “not there” differs every time.
ROUNDS = 4


# Every door has a recipe ------------------------------------------------------------------------


def _recipes(door: Door) -> tuple[Recipe, ...]:
    found = RECIPES.get(f"{door.method} {door.route}") or RECIPES.get(f"* {door.route}")
    assert found is not None, (
        f"{door} is a new door: say in RECIPES of {PLACE} how it is tried, for example"
        f' "{door.method} {door.route}": Recipe(...)'
    )
    unknown = [name for name in door.parameters if name not in PARAMETERS]
    assert not unknown, f"say in PARAMETERS of {PLACE} what stands in {unknown} of {door}"
    return found if isinstance(found, tuple) else (found,)


def test_every_recipe_is_for_a_door_that_is_there():
    there = {f"{door.method} {door.route}" for door in ADDRESSES}
    there |= {f"* {door.route}" for door in ADDRESSES}

    assert sorted(set(RECIPES) - there) == []
    assert sorted(set(JOBS) - set(doors.jobs())) == []
    assert sorted(set(COMMANDS) - set(doors.commands())) == []


def test_every_operation_of_the_described_api_is_among_the_doors():
    described = json.loads((settings.BASE_DIR / "schemas" / "openapi.json").read_text())
    operations = {
        (method.upper(), re.sub(r"[{<][^}>]*[}>]", "<>", path))
        for path, methods in described["paths"].items()
        for method in methods
    }
    walked = {
        (door.method, "/" + re.sub(r"<[^>]*>", "<>", door.route))
        for door in ADDRESSES
        if door.route.startswith("api/v1/")
    }

    assert len(operations) > 20
    assert operations <= walked


# One for everybody, without its cookies: another one loads every middleware anew, in 0.1 s.
BROWSER = Client(raise_request_exception=False)


# Strangers at the addresses ---------------------------------------------------------------------


@dataclass(frozen=True)
class Caller:
    """Somebody who should learn nothing. inside: lets be somebody at their own company."""

    who: str
    host: str
    cookie: str = ""
    bearer: str = ""
    inside: bool = False


def _strangers(door: Door, recipe: Recipe, acme: Any, globex: Any) -> list[Caller]:
    home, away = globex.host, acme.host
    if recipe.open:
        return [Caller("nobody", home, inside=True)]
    if door.route.startswith("scim/"):
        own = globex.ids["directory_token"]
        return [
            Caller("her directory", home, bearer=own, inside=True),
            Caller("her directory, there", away, bearer=own),
            Caller("the other's token, at hers", home, bearer="{directory_token}"),
            Caller("nobody, there", away),
        ]
    eve, admin = globex.cookies["ada"], globex.cookies["tomas"]
    callers = [
        Caller("eve", home, eve, inside=True),
        Caller("her admin", home, admin, inside=True),
        Caller("her admin, there", away, admin),
        Caller("the other's cookie, at hers", home, acme.cookies["tomas"]),
        Caller("nobody, there", away),
    ]
    if door.route.startswith("api/"):
        callers += [
            Caller("her token", home, bearer=globex.ids["token_secret"], inside=True),
            Caller("her token, there", away, bearer=globex.ids["token_secret"]),
            Caller("the other's token, at hers", home, bearer="{token_secret}"),
        ]
    return callers


@dataclass(frozen=True)
class Asked:
    """One request, ready to be sent."""

    address: str
    body: str  # JSON, or the fields of a form as JSON
    bearer: str


def _asked(door: Door, recipe: Recipe, caller: Caller, ids: dict[str, str], own: dict) -> Asked:
    def value(name: str) -> str:
        said = recipe.at.get(name, PARAMETERS[name])
        return said[4:].format(**own) if said.startswith("own:") else said.format(**ids)

    path = PARAMETER.sub(lambda found: quote(value(found[1])), door.route)
    query = quote(recipe.query.format(**ids), safe="=&")
    body = json.dumps(_with_ids(recipe.body, ids))
    return Asked(f"/{path}" + (f"?{query}" if query else ""), body, caller.bearer.format(**ids))


def _with_ids(said: Any, ids: dict[str, str]) -> Any:
    match said:
        case str():
            return said.format(**ids)
        case list():
            return [_with_ids(one, ids) for one in said]
        case dict():
            return {name: _with_ids(one, ids) for name, one in said.items()}
    return said


def _send(door: Door, asked: Asked, caller: Caller) -> Any:
    headers = {"host": caller.host}
    if asked.bearer:
        headers["authorization"] = f"Bearer {asked.bearer}"
    BROWSER.cookies.clear()
    if caller.cookie:
        BROWSER.cookies[settings.SESSION_COOKIE_NAME] = caller.cookie
    send = partial(getattr(BROWSER, door.method.lower()), asked.address, headers=headers)
    if door.method == "GET":
        return send()
    body = json.loads(asked.body)
    if door.route.startswith(("api/", "scim/v2/")):
        kind = "application/scim+json" if door.route.startswith("scim/") else "application/json"
        return send(data=json.dumps(body or {}), content_type=kind)
    return send(data=body or {}) if door.method == "POST" else send()


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CSRF = re.compile(r'(name="csrfmiddlewaretoken" value=")[^"]*')
_AGO = re.compile(r"(<time [^>]*>)[^<]*")  # "3 seconds ago" grows while one looks
NUMBERS = {"index", "size"}
VARYING = {"X-Request-Id", "Server-Timing", "Date", "Expires"}  # of the moment, or the request


def _comparable(answer: Any, ids: dict[str, str]) -> str:
    """What of an answer must not depend on whether a thing is somebody else's or nobody's."""

    def bare(text: str) -> str:
        text = text.replace(answer["X-Request-Id"], "<number>")
        text = text.replace(f"audit/{ids['index']}", "audit/<index>")
        named = [(name, value) for name, value in ids.items() if name not in NUMBERS]
        named.sort(key=lambda item: -len(item[1]))
        for name, value in named:
            text = text.replace(value, f"<{name}>")
        # Ids of the ledger's entries begin with the time, so two may begin alike.
        text = _UUID.sub("<uuid>", text)
        for name, value in named:
            text = text.replace(value[:8], f"<{name}>")
        return _CSRF.sub(r"\1", _AGO.sub(r"\1", text))

    body = b"".join(answer) if answer.streaming else answer.content
    headers = {name: bare(value) for name, value in answer.items() if name not in VARYING}
    cookies = sorted((name, bool(cookie.value)) for name, cookie in answer.cookies.items())
    said = [
        f"{answer.status_code}",
        *(f"{name}: {value}" for name, value in sorted(headers.items())),
    ]
    return "\n".join([*said, f"{cookies}", bare(body.decode("latin-1"))])


def _difference(here: str, there: str) -> list[str]:
    lines = difflib.unified_diff(here.splitlines(), there.splitlines(), "theirs", "nobody's", n=0)
    return [line[:300] for line in lines]


def _leaks(answer: Any, asked: Asked, caller: Caller, acme: Any) -> list[str]:
    """Things of acme's in an answer, besides what was sent."""
    said = f"{answer.content.decode('latin-1')} {dict(answer.items())} {answer.cookies}"
    sent = f"{asked.address} {asked.body} {asked.bearer}"
    marks = {name: value for name, value in acme.ids.items() if len(value) > 20}
    if caller.host != acme.host:
        marks |= {"word": acme.word, "slug": acme.ids["slug"]}
    return [name for name, value in marks.items() if value in said and value not in sent]


def _rows(of: Any) -> dict[str, tuple[int, str]]:
    """Number and digest of the rows of every table, as the company itself sees them."""
    with tenant_scope(of.scope), connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE relnamespace = 'pool'::regnamespace AND relkind = 'r'"
            " AND attname = 'tenant_id' ORDER BY 1"
        )
        tables = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT '{table}', count(*), md5(string_agg(t::text, '' ORDER BY t::text))"
                f" FROM {table} t"
                for table in tables
            )
        )
        return {table: (count, digest) for table, count, digest in cursor.fetchall()}


def _changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {table for table in after if after[table] != before[table]}


def _recorded(of: Any) -> int:
    with tenant_scope(of.scope):
        return StagedEntry.objects.count()


def _since(of: Any, count: int) -> list[dict[str, Any]]:
    """What was recorded after so many entries. Nobody seals them while the tests run."""
    with tenant_scope(of.scope):
        return [json.loads(bytes(row.leaf)) for row in StagedEntry.objects.order_by("id")[count:]]


def _sorts(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["action"], entry["outcome"]) for entry in entries]


@pytest.mark.parametrize("door", ADDRESSES, ids=str)
def test_a_stranger_learns_nothing_and_changes_nothing(door, acme, globex, tally):
    tally.doors["addresses"] += 1
    before, at_home, log, statuses = _rows(acme), _rows(globex), _recorded(acme), set()
    for recipe in _recipes(door):
        for caller in _strangers(door, recipe, acme, globex):
            statuses |= _try(door, recipe, caller, acme, globex, tally)

    assert _changed(before, _rows(acme)) <= {LEDGER}
    # What was recorded at the door of acme is a refusal, of nobody in particular.
    for entry in _since(acme, log):
        assert (entry["outcome"], entry["actor"]["type"]) == ("denied", "system"), entry
    if all(status >= 400 for status in statuses):
        assert _changed(at_home, _rows(globex)) <= TRACES | {LEDGER}


def _try(door, recipe, caller, acme, globex, tally):
    """One caller asks for what is acme's, then for what is nobody's. Returns the statuses."""
    theirs = _asked(door, recipe, caller, acme.ids, globex.ids)
    nobodys_ids = nowhere(acme.ids)
    nobodys = _asked(door, recipe, caller, nobodys_ids, globex.ids)
    if theirs == nobodys and caller.inside and door.method != "GET":
        return set()  # at home, with nothing of anybody else's in it: no attack
    told = f"{door} by {caller.who}"
    for _ in range(ROUNDS):
        answers, queries, entries = [], [], []
        for asked in (theirs, nobodys):
            recorded, started = _recorded(globex), time.perf_counter()
            reset_queries()  # Django keeps 9,000, and says so when there are more
            with CaptureQueriesContext(connection) as captured:
                answer = _send(door, asked, caller)
            took = time.perf_counter() - started
            (tally.theirs if asked is theirs else tally.nobodys).append(took)
            answers.append(answer)
            queries.append(len(captured))
            entries.append(_sorts(_since(globex, recorded)))
            tally.answers[str(answer.status_code)] += 1
            assert _leaks(answer, asked, caller, acme) == [], told
        if theirs == nobodys or queries[0] == queries[1]:
            break

    if door.route.startswith("scim/"):
        _forget_requests(globex)
    here, there = answers
    _check_refusal(door, recipe, caller, here, theirs != nobodys, told)
    if theirs != nobodys:
        tally.compared += 1
        assert _difference(_comparable(here, acme.ids), _comparable(there, nobodys_ids)) == [], told
        assert queries[0] == queries[1], f"{told}: {queries} queries"
        assert entries[0] == entries[1], told
    return {here.status_code, there.status_code}


def _forget_requests(of: Any) -> None:
    """What a directory asked is listed for its admin: the ids of others that we sent as well."""
    with tenant_scope(of.scope):
        DirectoryRequest.objects.all().delete()


def _check_refusal(door, recipe, caller, answer, names_others, told):
    status = answer.status_code
    assert status < 500 or status in recipe.answers, told
    if caller.inside:
        if names_others and not recipe.open:
            assert status in {403, 404, 405} | recipe.answers, f"{told}: {status}"
    elif status == 302:
        assert answer["Location"].startswith("/signin/"), told
    else:
        assert status in {401, 405} | ({404} if recipe.works is None else set()), told


# At home ----------------------------------------------------------------------------------------


def _at_home(door: Door, recipe: Recipe, who: str, acme: Any) -> tuple[Asked, Caller]:
    if who == "directory":
        caller = Caller(who, acme.host, bearer="{directory_token}")
    else:
        caller = Caller(who, acme.host, acme.cookies.get(who, ""))
    return _asked(door, recipe, caller, acme.ids, acme.ids), caller


@pytest.mark.parametrize("door", ADDRESSES, ids=str)
def test_the_recipe_opens_the_door_to_whom_it_is_for(door, acme):
    """Otherwise the refusals above would prove nothing. What is done is undone."""
    for recipe in _recipes(door):
        if recipe.works is None:
            assert recipe.why_not, f"say why nobody can use {door} here"
            continue
        asked, caller = _at_home(door, recipe, recipe.works, acme)
        block = transaction.atomic()
        block._from_testcase = True  # change() may open its own transaction inside of this one
        with block:
            answer = _send(door, asked, caller)
            transaction.set_rollback(True)
        assert answer.status_code < 400, f"{door}: {answer.status_code} {answer.content[:300]!r}"
        if answer.status_code == 302:
            assert not answer["Location"].startswith("/signin/?next"), door


@pytest.mark.parametrize("door", ADDRESSES, ids=str)
def test_a_member_without_the_permission_is_denied_and_that_is_recorded(door, acme, tally):
    for recipe in _recipes(door):
        if recipe.bo or recipe.open or recipe.works in {None, "directory"}:
            continue
        asked, caller = _at_home(door, recipe, "bo", acme)
        before, log = _rows(acme), _recorded(acme)
        answer = _send(door, asked, caller)
        tally.answers[f"{answer.status_code} (to a member without the permission)"] += 1
        recorded = _since(acme, log)

        assert answer.status_code in {403, 404}, f"{door}: {answer.status_code}"
        assert _changed(before, _rows(acme)) <= {LEDGER, "tenants_session", "tenants_membership"}
        if answer.status_code == 403:
            assert recorded, f"{door}: the denial is not on record"
            assert {entry["outcome"] for entry in recorded} == {"denied"}, door
            assert {entry["actor"]["id"] for entry in recorded} == {acme.ids["person"]}, door


@pytest.mark.parametrize("door", ADDRESSES, ids=str)
def test_every_door_asks_for_a_right_and_shows_nothing_without(door, acme, monkeypatch):
    """A member who was given no role: nora. A view that forgets to ask is found here."""
    asked_for = []

    def spied(name):
        real = getattr(decisions, name)

        def spy(by, permission, *more):
            asked_for.append(permission)
            return real(by, permission, *more)

        monkeypatch.setattr(decisions, name, spy)

    spied("_decide")
    spied("barred")
    for recipe in _recipes(door):
        if recipe.open or recipe.works in {None, "directory", "nobody"}:
            continue
        asked, caller = _at_home(door, recipe, "nora", acme)
        before = _rows(acme)
        asked_for.clear()
        block = transaction.atomic()
        block._from_testcase = True  # change() may open its own transaction inside of this one
        with block:  # what is done is undone, or she would be signed out for the rest
            answer = _send(door, asked, caller)
            changed = _changed(before, _rows(acme))
            transaction.set_rollback(True)
        said = answer.content.decode("latin-1")

        if not recipe.everybodys:
            assert asked_for, f"{door} asked for no right before it answered {answer.status_code}"
            assert changed <= {LEDGER, *TRACES}, door
        assert acme.word not in said, f"{door} shows what nora may not see"


def test_a_host_that_is_only_claimed_in_a_header_changes_nothing(acme, globex):
    client = Client(
        headers={"host": globex.host, "x-forwarded-host": acme.host, "forwarded": acme.host}
    )
    client.cookies[settings.SESSION_COOKIE_NAME] = globex.cookies["tomas"]

    answer = client.get("/api/v1/me")

    assert answer.json()["tenant"]["slug"] == globex.ids["slug"]


# Jobs -------------------------------------------------------------------------------------------


def _worked(job: str, tenant: Any, arguments: list[str]) -> str:
    """As a worker runs it; what came of it, in a word."""
    task = app.tasks[job]
    task.push_request(**{HEADER: str(tenant)} if tenant else {})
    try:
        task(*arguments)
    except Exception as problem:  # noqa: BLE001  # what comes of it is what is compared
        return type(problem).__name__
    finally:
        task.pop_request()
    return "nothing"


@pytest.mark.parametrize("job", doors.jobs())
def test_a_job_of_another_tenant_finds_nothing_and_changes_nothing(job, acme, globex, tally):
    assert job in JOBS, f"{job} is a new job: say in JOBS of {PLACE} what it is given"
    tally.doors["jobs"] += 1
    recipe, task = JOBS[job], app.tasks[job]
    if recipe.arguments is None:
        assert isinstance(task, TenantlessJob), job
        assert not inspect.signature(task.run).parameters, f"{job} can be aimed: give it ids"
        return
    theirs = [argument.format(**acme.ids) for argument in recipe.arguments]
    nobodys = [argument.format(**nowhere(acme.ids)) for argument in recipe.arguments]
    before = _rows(acme)

    with pytest.raises(NoTenant):
        task(*theirs)  # stamped by nobody
    logs = []
    for arguments in (theirs, nobodys):
        log, at_home = _recorded(globex), _rows(globex)
        answer = _worked(job, globex.scope.tenant_id, arguments)
        assert _changed(at_home, _rows(globex)) == set(), job
        logs.append((answer, _sorts(_since(globex, log))))
        tally.answers[f"job: {answer}"] += 1

    assert logs[0] == logs[1]
    assert _rows(acme) == before


# Commands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", doors.commands())
def test_a_command_reaches_no_other_tenant(name, acme, globex, tally):
    assert name in COMMANDS, f"{name} is a new command: say in COMMANDS of {PLACE} how it is tried"
    tally.doors["commands"] += 1
    recipe = COMMANDS[name]
    if recipe.role == "any" or not (recipe.words or recipe.role == "owner"):
        return
    before, said = _rows(acme), []
    for ids in (acme.ids, nowhere(acme.ids)):
        known = {**ids, "own_host": globex.host}
        with pytest.raises(CommandError) as refusal:
            # The tests run as the portal's own role, so those of the owner refuse.
            call_command(
                name,
                *[word.format(**known) for word in recipe.words],
                **{key: value.format(**known) for key, value in recipe.options.items()},
            )
        said.append(_bare_words(str(refusal.value), ids))
        tally.answers["command: refused"] += 1

    assert said[0] == said[1]
    assert ("DATABASE_ROLE=owner" in said[0]) == (recipe.role == "owner")
    assert _rows(acme) == before


def _bare_words(text: str, ids: dict[str, str]) -> str:
    for name, value in sorted(ids.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, f"<{name}>")
    return text
