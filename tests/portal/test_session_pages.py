"""Where one is signed in: one's own browsers, those of others, ending them."""

from uuid import uuid4

import pytest
from django.test import Client

from tenants.models import Session
from tenants.scope import tenant_scope

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
)


def browser(company, name, device=FIREFOX):
    """Signed in by the demo page, as a browser of that make."""
    client = Client(headers={"host": company.host, "user-agent": device})
    client.post("/signin/", {"person": str(company.people[name].pk)})
    return client


def handles(company, name):
    with tenant_scope(company.scope):
        rows = Session.objects.filter(user=company.people[name]).order_by("opened_at")
        return [row.handle for row in rows]


def test_my_account_shows_my_browsers_in_plain_words_and_marks_this_one(acme):
    ada = browser(acme, "ada")
    browser(acme, "ada", EDGE)
    browser(acme, "lin", "curl/8.0")

    page = ada.get("/account/").content.decode()

    assert "Firefox on Linux" in page
    assert "Edge on Windows" in page
    assert "curl" not in page
    assert page.count("This one") == 1
    assert "This one" in page.split("Firefox on Linux")[1].split("</tr>")[0]
    assert "by demo list" in page


def test_my_account_says_which_roles_i_hold_and_why(acme, sign_in):
    page = sign_in(acme, "bo").get("/account/").content.decode()

    assert "Developer in Platform" in page
    assert "by hand" in page


def test_ending_one_of_my_sessions_ends_that_browser_only(acme, entries):
    here, there = browser(acme, "ada"), browser(acme, "ada", EDGE)
    other = handles(acme, "ada")[1]

    answer = here.post(f"/sessions/{other}/end/", follow=True)

    assert "That session is over" in answer.content.decode()
    assert there.get("/").status_code == 302
    assert here.get("/").status_code == 200
    assert entries(acme)[-1] == ("session.end", "ok")


def test_ending_the_session_one_is_in_leads_to_sign_in(acme):
    ada = browser(acme, "ada")

    answer = ada.post(f"/sessions/{handles(acme, 'ada')[0]}/end/")

    assert (answer.status_code, answer.url) == (302, "/signin/")
    assert ada.get("/").status_code == 302


def test_ending_all_others_keeps_this_one(acme, entries):
    here = browser(acme, "ada")
    others = [browser(acme, "ada", EDGE), browser(acme, "ada", "curl/8.0")]

    page = here.post("/sessions/end-others/", follow=True).content.decode()

    assert "sessions ended: 2" in page
    assert here.get("/").status_code == 200
    assert [other.get("/").status_code for other in others] == [302, 302]
    assert entries(acme)[-1] == ("session.end", "ok")


@pytest.mark.parametrize("name", ["bo", "ada", "iris"])
def test_nobody_sees_or_ends_the_sessions_of_a_colleague(acme, sign_in, entries, name):
    lin = browser(acme, "lin")
    client, lin_id = sign_in(acme, name), acme.people["lin"].pk

    one = client.post(f"/sessions/{handles(acme, 'lin')[0]}/end/").status_code
    page = client.get(f"/people/{lin_id}/sessions/").status_code
    everything = client.post(f"/people/{lin_id}/sessions/").status_code

    assert (one, page, everything) == (404, 403, 403)
    assert lin.get("/").status_code == 200
    assert entries(acme)[-2:] == [("session.end.denied", "denied")] * 2


def test_an_admin_ends_all_sessions_of_somebody(acme, sign_in, entries):
    lins = [browser(acme, "lin"), browser(acme, "lin", EDGE)]
    tomas, lin = sign_in(acme, "tomas"), acme.people["lin"].pk

    page = tomas.get(f"/people/{lin}/sessions/").content.decode()
    done = tomas.post(f"/people/{lin}/sessions/", follow=True).content.decode()

    assert "Edge on Windows" in page
    assert "signed out everywhere; sessions ended: 2" in done
    assert "signed in nowhere" in done
    assert [one.get("/").status_code for one in lins] == [302, 302]
    assert entries(acme)[-1] == ("session.end", "ok")


def test_an_admin_ends_one_session_of_somebody(acme, sign_in):
    lin = browser(acme, "lin")

    answer = sign_in(acme, "tomas").post(f"/sessions/{handles(acme, 'lin')[0]}/end/")

    assert answer.url == f"/people/{acme.people['lin'].pk}/sessions/"
    assert lin.get("/").status_code == 302


def test_sessions_of_another_tenant_do_not_exist(acme, globex, sign_in, entries):
    lin, before = browser(acme, "lin"), entries(acme)
    handle, lin_id = handles(acme, "lin")[0], acme.people["lin"].pk

    for name in ("eve", "tomas"):
        stranger = sign_in(globex, name)
        assert stranger.post(f"/sessions/{handle}/end/").status_code == 404
        assert stranger.post(f"/sessions/{uuid4()}/end/").status_code == 404
        assert stranger.get(f"/people/{lin_id}/sessions/").status_code == 404
        assert stranger.post(f"/people/{lin_id}/sessions/").status_code == 404

    assert lin.get("/").status_code == 200
    assert entries(acme)[: len(before)] == before
    assert ("session.end", "ok") not in entries(acme)


def test_nobody_is_sent_to_sign_in_before_any_session_is_shown(acme, sign_in):
    nobody, bo = sign_in(acme), acme.people["bo"].pk

    for path in ("/account/", f"/people/{bo}/sessions/"):
        assert nobody.get(path).url.startswith("/signin/")
    for path in (f"/sessions/{uuid4()}/end/", "/sessions/end-others/", f"/people/{bo}/sessions/"):
        assert nobody.post(path).url.startswith("/signin/")
