"""A provider that lies, and people who do: every lie is refused, with its reason on record."""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.cache import cache
from django.test import override_settings
from evil_provider import (
    EC_256,
    EC_384,
    ED,
    RSA,
    RSA_OTHER,
    RSA_SHORT,
    SECRET,
    EvilProvider,
    asked_of,
    encoded,
    jwk,
    public_pem,
)
from oidc_browser import begin, come_back, last_entry, sessions_of
from redis.exceptions import RedisError

from authz import providers
from portal import limits
from portal.signin import journey
from tenants.models import Identity, User
from tenants.scope import tenant_scope

JSON = {"Content-Type": "application/json"}


@dataclass
class Lie:
    """How an honest provider or its answer is changed, and what we say to that.

    when: `start` when it shows before the browser leaves. answer: parameters of the callback
    that are changed; ... takes one away, a function gets the provider.
    """

    name: str
    reason: str
    change: Callable[[EvilProvider], Any] = lambda evil: None
    answer: dict[str, Any] = field(default_factory=dict)
    when: str = "callback"


def _claims(**claims):
    return lambda evil: evil.claims.update(claims)


def _token(**members):
    return lambda evil: evil.token.update(members)


def _told(**claims):
    return lambda evil: evil.userinfo.update(claims)


def _published(**members):
    return lambda evil: evil.metadata.update(members)


def _header(**header):
    return lambda evil: evil.header.update(header)


def _answers(name, body=b"{}", status=200, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()} or JSON
    return lambda evil: evil.answers.update({name: (status, headers, body)})


def _signs(key, algorithm="RS256", **header):
    def change(evil):
        evil.key, evil.algorithm = key, algorithm
        evil.header.update(header)

    return change


def _keys(*keys):
    return lambda evil: setattr(evil, "keys", list(keys))


def _payload(raw):
    def change(evil):
        honest = evil.id_token_claims

        def claims():
            evil.payload = raw(json.dumps(honest()).encode())
            return honest()

        evil.id_token_claims = claims

    return change


def _mangled(how):
    return lambda evil: setattr(evil, "mangle", how)


def _all(*changes):
    return lambda evil: [change(evil) for change in changes]


def _inside(token, claims):
    """The token with other claims in it, under the old signature."""
    header, payload, signature = token.split(".")
    padded = payload + "=" * (-len(payload) % 4)
    said = json.loads(base64.urlsafe_b64decode(padded)) | claims
    return f"{header}.{encoded(json.dumps(said).encode())}.{signature}"


def _from_now(seconds):
    return int(time.time()) + seconds


NO_KEY = "none of your provider's keys signed the token"
NO_WAY = "the token is not signed in a way that is accepted here"
FOR_OTHERS = "the token is meant for another program"
NOT_HERE = "has no address that this portal may ask"

LIES = [
    # The answer in the browser
    Lie("no state", "this browser did not begin", answer={"state": ...}),
    Lie("a state of one's own", "this browser did not begin", answer={"state": "x" * 32}),
    Lie("a state full of bytes", "this browser did not begin", answer={"state": "\0\x7f" * 9}),
    Lie("neither code nor error", "neither a code nor an error", answer={"code": ...}),
    Lie("two codes", "the answer says something twice", answer={"code": ["a code", "b"]}),
    Lie("an empty code", "neither a code nor an error", answer={"code": ""}),
    Lie("a code of somebody else", "does not accept its own answer", answer={"code": "stolen"}),
    Lie("the person stopped", "did not let you in", answer={"error": "access_denied"}),
    Lie("an error with code", "broke at your provider", answer={"error": "server_error"}),
    Lie("an error of its own", "answered with an error", answer={"error": "<b>x\0\n"}),
    Lie("iss of another", "comes from another", answer={"iss": "https://other.example"}),
    Lie(
        "no iss though announced",
        "does not say which provider",
        _published(authorization_response_iss_parameter_supported=True),
    ),
    Lie(
        "iss of another with an error",
        "comes from another provider",
        answer={"iss": "https://other.example", "error": "access_denied"},
    ),
    # Discovery
    Lie(
        "issuer of another", "calls itself", _published(issuer="https://other.example"), {}, "start"
    ),
    Lie("issuer is no word", "calls itself", _published(issuer=["x"]), {}, "start"),
    Lie("no issuer", "calls itself", _published(issuer=...), {}, "start"),
    Lie("no token endpoint", "token_endpoint", _published(token_endpoint=...), {}, "start"),
    Lie(
        "tokens over plain http",
        "token_endpoint is not an address",
        _published(token_endpoint="http://login.example.com/token"),
        when="start",
    ),
    Lie(
        "a script as endpoint",
        "authorization_endpoint is not an address",
        _published(authorization_endpoint="javascript:alert(1)"),
        when="start",
    ),
    Lie(
        "credentials in an endpoint",
        "jwks_uri is not an address",
        _published(jwks_uri="https://a:b@login.example.com/"),
        when="start",
    ),
    Lie(
        "no PKCE",
        "code_challenge_methods_supported",
        _published(code_challenge_methods_supported=["plain"]),
        when="start",
    ),
    Lie(
        "no code flow",
        "response_types_supported",
        _published(response_types_supported=["token"]),
        when="start",
    ),
    Lie(
        "nothing but secrets to sign with",
        "signs in no way",
        _published(id_token_signing_alg_values_supported=["HS256", "none"]),
        when="start",
    ),
    Lie(
        "words that are none",
        "is not a list of words",
        _published(token_endpoint_auth_methods_supported=[{}]),
        when="start",
    ),
    Lie(
        "no such document",
        "cannot be asked",
        _answers("openid-configuration", status=404),
        when="start",
    ),
    Lie(
        "a list",
        "not with what was asked for",
        _answers("openid-configuration", b"[]"),
        when="start",
    ),
    Lie(
        "a redirect",
        "answers with a redirect",
        _answers("openid-configuration", status=302, Location="http://169.254.169.254/"),
        when="start",
    ),
    # Where it would send us: SSRF through metadata
    Lie("the cloud's metadata", NOT_HERE, _published(token_endpoint="https://169.254.169.254/t")),
    Lie("a private network", NOT_HERE, _published(token_endpoint="https://10.0.0.1/t")),
    Lie("a private network, mapped", NOT_HERE, _published(jwks_uri="https://[::ffff:10.0.0.1]/j")),
    Lie(
        "a unique local address", NOT_HERE, _published(userinfo_endpoint="https://[fd00:ec2::254]/")
    ),
    # The token endpoint
    Lie(
        "refuses us",
        "does not accept the client id",
        _answers("token", b'{"error":"invalid_client"}', 401),
    ),
    Lie("an error page", "not in JSON", _answers("token", b"<h1>", 500, Content_Type="text/html")),
    Lie(
        "an odd error",
        "does not hand out a token (status 400)",
        _answers("token", b'{"error":{}}', 400),
    ),
    Lie(
        "a redirect with the code",
        "answers with a redirect",
        _answers("token", status=307, Location="/x"),
    ),
    Lie("bytes", "is not sound JSON", _answers("token", bytes(range(256)))),
    Lie("NaN", "is not JSON", _answers("token", b'{"expires_in": NaN}')),
    Lie(
        "a number without end", "a number without end", _answers("token", b'{"expires_in": 1e999}')
    ),
    Lie(
        "a number of 5,000 digits",
        "is not sound JSON",
        _answers("token", b'{"a":' + b"9" * 5000 + b"}"),
    ),
    Lie(
        "a name twice",
        "the same thing twice",
        _answers("token", b'{"id_token":"a","id_token":"b"}'),
    ),
    Lie("too deep", "too deep", _answers("token", b'{"a":' + b"[" * 30 + b"]" * 30 + b"}")),
    Lie("far too deep", "is not sound JSON", _answers("token", b"[" * 200_000)),
    Lie("too much", "more than 1 MiB", _answers("token", b'{"a":"' + b"x" * 1024**2 + b'"}')),
    Lie(
        "compressed",
        "compressed",
        _answers("token", b"\x1f\x8b", Content_Type="application/json", Content_Encoding="gzip"),
    ),
    Lie(
        "cut short",
        "not",
        _answers("token", b'{"id', Content_Type="application/json", Content_Length="900"),
    ),
    Lie("a list for an answer", "something else than what was asked", _answers("token", b"[1]")),
    Lie("no id token", "no token", _token(id_token=...)),
    Lie("an id token that is a number", "no token", _token(id_token=7)),
    Lie("an endless id token", "far too long", _token(id_token="a" * 20_000)),
    Lie("an id token of nothing", "not a signed token", _token(id_token="")),
    Lie("no access token", "no access token", _token(access_token=...)),
    Lie("an access token with a header in it", "no access token", _token(access_token="a\r\nX: y")),
    Lie("another kind of token", "kind of access token", _token(token_type="mac")),
    # The signature
    Lie("alg none", NO_WAY, _signs(None, "none")),
    Lie("alg nOnE", NO_WAY, _signs(None, "nOnE")),
    Lie("no alg", NO_WAY, _mangled(lambda t: encoded(b'{"typ":"JWT"}') + t[t.index(".") :])),
    Lie(
        "alg is a list",
        NO_WAY,
        _mangled(lambda t: encoded(b'{"alg":["RS256"]}') + t[t.index(".") :]),
    ),
    Lie("the public key as a secret", NO_WAY, _signs(public_pem(RSA), "HS256")),
    Lie("the client secret as a key", NO_WAY, _signs(SECRET.encode(), "HS256")),
    Lie(
        "a published secret",
        NO_WAY,
        _all(
            _keys({"kty": "oct", "kid": "one", "k": encoded(b"k" * 32)}), _signs(b"k" * 32, "HS256")
        ),
    ),
    Lie("somebody else's key", NO_KEY, _signs(RSA_OTHER)),
    Lie("a key nobody published", NO_KEY, _signs(RSA_OTHER, kid="two")),
    Lie("its own key in the header", NO_KEY, _signs(RSA_OTHER, kid="two", jwk=jwk(RSA_OTHER))),
    Lie("a key elsewhere", NO_KEY, _signs(RSA_OTHER, kid="two", jku="https://evil.example/jwks")),
    Lie("no signature", NO_KEY, _mangled(lambda t: t.rsplit(".", 1)[0] + ".")),
    Lie("two parts", "not a signed token", _mangled(lambda t: t.rsplit(".", 1)[0])),
    Lie("claims changed afterwards", NO_KEY, _mangled(lambda t: _inside(t, {"sub": "tomas"}))),
    Lie("a header of bytes", "is not sound JSON", _mangled(lambda t: "AAAA" + t[t.index(".") :])),
    Lie(
        "a header that is a list",
        "not about anything",
        _mangled(lambda t: "W10" + t[t.index(".") :]),
    ),
    Lie("an encrypted token", "encrypts its tokens", _mangled(lambda t: t + ".a.b")),
    Lie("a demand in the header", "demands something", _header(crit=["exp"], exp=1)),
    Lie("a log-out token", "meant for something else", _header(typ="logout+jwt")),
    Lie("an access token", "meant for something else", _header(typ="at+jwt")),
    Lie(
        "a kid that is none",
        "name its key",
        _mangled(lambda t: encoded(b'{"alg":"RS256","kid":7}') + t[t.index(".") :]),
    ),
    Lie(
        "an algorithm not announced",
        "does not announce",
        _all(_published(id_token_signing_alg_values_supported=["ES256"])),
    ),
    Lie("a key for encryption", NO_KEY, _keys(jwk(RSA, use="enc"))),
    Lie("a key for signing only", NO_KEY, _keys(jwk(RSA, use=None, key_ops=["sign"]))),
    Lie("a key for another algorithm", NO_KEY, _keys(jwk(RSA, alg="PS256"))),
    Lie("a key of another curve", NO_KEY, _all(_keys(jwk(EC_384)), _signs(EC_384, "ES256"))),
    Lie("a key too short", NO_KEY, _all(_keys(jwk(RSA_SHORT)), _signs(RSA_SHORT))),
    Lie("a key without parts", NO_KEY, _keys({"kty": "RSA", "kid": "one"})),
    Lie("a key of odd parts", NO_KEY, _keys({"kty": "RSA", "kid": "one", "n": 5, "e": []})),
    Lie("a key of odd bytes", NO_KEY, _keys({"kty": "RSA", "kid": "one", "n": "é", "e": "AQAB"})),
    Lie("a key with its private half", NO_KEY, _keys(jwk(RSA, d="AQAB"))),
    Lie("keys that are none", NO_KEY, _keys(None, 7, [], "RSA")),
    Lie("keys that are no list", "is not one", _answers("jwks", b'{"keys": {"kty": "RSA"}}')),
    Lie("no keys to be had", "cannot be asked", _answers("jwks", status=500)),
    # The claims
    Lie("another issuer", "comes from another provider", _claims(iss="https://other.example")),
    Lie("no issuer in the token", "comes from another provider", _claims(iss=...)),
    Lie("for another program", FOR_OTHERS, _claims(aud="another")),
    Lie("for others too", FOR_OTHERS, _claims(aud=["countersign", "another"])),
    Lie("for nobody", FOR_OTHERS, _claims(aud=...)),
    Lie("for an odd nobody", FOR_OTHERS, _claims(aud={"countersign": 1})),
    Lie("given to another program", "given to another", _claims(azp="another")),
    Lie("about nobody", "whom it is about", _claims(sub=...)),
    Lie("about an empty name", "whom it is about", _claims(sub="")),
    Lie("about a number", "whom it is about", _claims(sub=7)),
    Lie("about too long a name", "whom it is about", _claims(sub="a" * 256)),
    Lie("without an end", "(exp)", _claims(exp=...)),
    Lie("expired", "has expired", lambda evil: evil.claims.update(exp=_from_now(-61))),
    Lie("an end in words", "(exp)", _claims(exp="9999999999")),
    Lie("an end that is true", "(exp)", _claims(exp=True)),
    Lie("an end beyond time", "(exp)", _claims(exp=10**30)),
    Lie("without a beginning", "(iat)", _claims(iat=...)),
    Lie("from the future", "from the future", lambda evil: evil.claims.update(iat=_from_now(120))),
    Lie(
        "from long ago",
        "older than this sign-in",
        lambda evil: evil.claims.update(iat=_from_now(-3600)),
    ),
    Lie("not valid yet", "not valid yet", lambda evil: evil.claims.update(nbf=_from_now(120))),
    Lie("another nonce", "answers another sign-in", _claims(nonce="x")),
    Lie("no nonce", "answers another sign-in", _claims(nonce=...)),
    Lie("a nonce that is none", "answers another sign-in", _claims(nonce=["x"])),
    Lie("another access token", "does not belong", _claims(at_hash="AAAA")),
    Lie("an odd session", "name its session", _claims(sid=7)),
    Lie("claims that are a list", "not about anything", _payload(lambda raw: b"[1]")),
    Lie("claims of bytes", "is not sound JSON", _payload(lambda raw: b"\xff\xfe")),
    Lie(
        "two subjects", "the same thing twice", _payload(lambda raw: raw[:-1] + b',"sub":"tomas"}')
    ),
    Lie(
        "a NUL in a claim",
        "characters that are none",
        _payload(lambda raw: raw[:-1] + b',"a":"\\u0000"}'),
    ),
    Lie(
        "half a character",
        "characters that are none",
        _payload(lambda raw: raw[:-1] + b',"a":"\\ud800"}'),
    ),
    # Userinfo
    Lie("userinfo of another", "two people at once", _told(sub="tomas")),
    Lie("userinfo of nobody", "two people at once", _told(sub=...)),
    Lie("userinfo refused", "does not say who you are", _answers("userinfo", status=401)),
    Lie(
        "userinfo in another form",
        "not in JSON",
        _answers("userinfo", b"a.b.c", Content_Type="application/jwt"),
    ),
    Lie("userinfo a list", "something else", _answers("userinfo", b'["ada"]')),
    Lie("groups that are a number", "form that is not understood", _told(groups=7)),
    Lie("groups that are objects", "form that is not understood", _told(groups=[{"id": 1}])),
    Lie("too many groups", "more groups than", _told(groups=["g"] * 1001)),
    Lie(
        "groups left out",
        "because you are in too many",
        _told(groups=..., _claim_names={"groups": "src1"}, _claim_sources={"src1": {}}),
    ),
    Lie(
        "an endless address",
        "an e-mail address that is none",
        _told(email="a" * 300 + "@x.example"),
    ),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.name)
def test_a_lie_is_refused_with_its_reason_and_leaves_no_session(
    lie, acme, evil, connected, sign_in, refused_lie
):
    lie.change(evil)
    browser = sign_in(acme)

    answer = begin(browser, evil)
    if lie.when == "callback":
        assert answer.status_code == 302
        answer = come_back(browser, evil, **lie.answer)

    assert answer.status_code == 403
    assert lie.reason in answer.context["reason"]
    action, outcome, facts = last_entry(acme)
    assert (action, outcome) == ("session.open.denied", "denied")
    assert lie.reason in facts["reasons"][0]
    assert sessions_of(acme) == 0
    assert browser.get("/").status_code == 302
    refused_lie(lie.name)


def _hash(algorithm, token="opaque"):
    digest = hashlib.new(algorithm, token.encode()).digest()
    return encoded(digest[: len(digest) // 2])


def _verified(evil):
    evil.claims.update(email="ada@work.example", email_verified=True)


SOUND = {
    "as it should be": lambda evil: None,
    "with a slash at the end of its name": lambda evil: setattr(evil, "issuer", evil.issuer + "/"),
    "naming itself": _published(authorization_response_iss_parameter_supported=True),
    "secret in the form": _published(token_endpoint_auth_methods_supported=["client_secret_post"]),
    "no userinfo": _all(_published(userinfo_endpoint=...), _verified),
    "no log-out": _published(end_session_endpoint=...),
    "no word on PKCE": _published(code_challenge_methods_supported=...),
    "a clock 50 s behind": lambda evil: evil.claims.update(iat=_from_now(-80), exp=_from_now(-50)),
    "a clock 50 s ahead": lambda evil: evil.claims.update(
        iat=_from_now(50), nbf=_from_now(50), exp=_from_now(90)
    ),
    "times with fractions": lambda evil: evil.claims.update(exp=time.time() + 60.5),
    "aud as a list": _claims(aud=["countersign"]),
    "azp": _claims(azp="countersign"),
    "at_hash": _claims(at_hash=_hash("sha256")),
    "no kid": _all(_header(kid=None), _keys(jwk(RSA_OTHER, kid=None), jwk(RSA, kid=None))),
    "one kid for two keys": _keys(jwk(EC_256), jwk(RSA_OTHER), jwk(RSA)),
    "PS256": _signs(RSA, "PS256"),
    "ES256": _all(_keys(jwk(EC_256)), _signs(EC_256, "ES256")),
    "ES384": _all(_keys(jwk(EC_384)), _signs(EC_384, "ES384"), _claims(at_hash=_hash("sha384"))),
    "EdDSA": _all(_keys(jwk(ED)), _signs(ED, "EdDSA"), _claims(at_hash=_hash("sha512"))),
    "typ in capitals": _header(typ="JWT"),
    "one group": _told(groups="reviewers"),
    "no groups": _told(groups=...),
    "junk among the keys": _keys(None, {"kty": "oct", "k": "a"}, {"kty": ["RSA"]}, jwk(RSA)),
}


@pytest.mark.parametrize("change", SOUND.values(), ids=SOUND)
def test_an_honest_provider_signs_ada_in(change, acme, evil, connected, link, sign_in, entries):
    asked = evil.issuer
    change(evil)
    if evil.issuer != asked:
        link(acme, "ada", evil.issuer)
    iss = (
        {"iss": evil.issuer}
        if evil.metadata.get("authorization_response_iss_parameter_supported")
        else {}
    )
    browser = sign_in(acme)
    before = browser.cookies.get("sessionid")

    begin(browser, evil)
    answer = come_back(browser, evil, **iss)

    assert (answer.status_code, answer["Location"]) == (302, "/"), answer.context["reason"]
    assert ("session.open", "ok") in entries(acme)
    assert browser.get("/").wsgi_request.user == acme.people["ada"]
    assert browser.cookies["sessionid"].value != (before.value if before else None)


def test_what_the_provider_is_asked_is_all_it_needs_and_never_the_secret(
    acme, evil, connected, sign_in
):
    browser = sign_in(acme)

    answer = begin(browser, evil)
    come_back(browser, evil)

    assert answer["Location"].startswith(f"{evil.issuer}/authorize?")
    assert {**evil.asked, "state": "", "nonce": "", "code_challenge": ""} == {
        "response_type": "code",
        "client_id": "countersign",
        "redirect_uri": f"http://{acme.host}/signin/oidc/callback/",
        "scope": "openid email profile",
        "state": "",
        "nonce": "",
        "code_challenge": "",
        "code_challenge_method": "S256",
    }
    assert min(len(evil.asked[name]) for name in ("state", "nonce")) >= 32
    # The secret went to the token endpoint, in the header and nowhere else.
    assert [set(form) for form in evil.forms] == [
        {"grant_type", "code", "redirect_uri", "code_verifier"}
    ]
    assert evil.authorizations[0].startswith("Basic ")


def test_an_answer_is_good_once_and_in_the_browser_that_asked(acme, evil, connected, sign_in):
    browser, another = sign_in(acme), sign_in(acme)
    begin(browser, evil)

    stolen = come_back(another, evil)
    own = come_back(browser, evil)
    again = come_back(browser, evil)

    assert (stolen.status_code, own.status_code, again.status_code) == (403, 302, 403)
    assert last_entry(acme)[0] == "session.open.denied"
    assert evil.hits["token"] == 1


def test_an_answer_that_comes_too_late_is_refused(acme, evil, connected, sign_in, monkeypatch):
    browser = sign_in(acme)
    begin(browser, evil)
    monkeypatch.setattr(journey, "VALID_FOR", -1)

    answer = come_back(browser, evil)

    assert answer.status_code == 403
    assert "too long ago" in answer.context["reason"]
    assert evil.hits["token"] == 0


def test_an_answer_to_other_settings_is_refused(acme, evil, connected, sign_in):
    browser = sign_in(acme)
    begin(browser, evil)
    with tenant_scope(acme.scope):
        type(connected).objects.filter(pk=connected.pk).update(scopes="openid")

    answer = come_back(browser, evil)

    assert answer.status_code == 403
    assert "settings of the provider were changed" in answer.context["reason"]
    assert evil.hits["token"] == 0


def test_a_provider_that_was_removed_meanwhile_signs_nobody_in(acme, evil, connected, sign_in):
    browser = sign_in(acme)
    begin(browser, evil)
    with tenant_scope(acme.scope):
        type(connected).objects.all().delete()

    answer = come_back(browser, evil)

    assert answer.status_code == 403
    assert "not connected here any more" in answer.context["reason"]


def test_a_sign_in_begun_at_one_tenant_is_unknown_at_another(
    acme, globex, evil, connected, connect, link, sign_in
):
    connect(globex, evil.issuer)
    link(globex, "eve", evil.issuer)
    browser = sign_in(acme)
    begin(browser, evil)
    elsewhere = sign_in(globex)
    elsewhere.cookies["sessionid"] = browser.cookies["sessionid"].value

    answer = come_back(elsewhere, evil)

    assert answer.status_code == 403
    assert last_entry(globex)[0] == "session.open.denied"
    assert (sessions_of(acme), sessions_of(globex)) == (0, 0)
    assert evil.hits["token"] == 0


def test_somebody_that_only_another_tenant_knows_is_refused(
    acme, globex, evil, connected, connect, sign_in
):
    connect(globex, evil.issuer)
    browser = sign_in(globex)

    begin(browser, evil)
    answer = come_back(browser, evil)

    assert answer.status_code == 403
    assert "you have no account here" in answer.context["reason"]
    assert (sessions_of(acme), sessions_of(globex)) == (0, 0)


# Whose account: by subject, never by an address alone.
ADDRESSES = {
    "an address nobody verified": _told(email_verified=False),
    "not a word on verifying": _told(email_verified=...),
    "verified, in words of its own": _told(email_verified="yes"),
    "verified in another document": _all(_told(email_verified=False), _claims(email_verified=True)),
}


@pytest.mark.parametrize("change", ADDRESSES.values(), ids=ADDRESSES)
def test_an_unverified_address_signs_nobody_in_as_its_owner(change, acme, evil, connect, sign_in):
    connect(acme, evil.issuer, link_by_email=True, create_people=True)
    evil.userinfo.update(sub="a stranger", email=acme.people["tomas"].email)
    evil.claims.update(sub="a stranger")
    change(evil)
    browser = sign_in(acme)

    begin(browser, evil)
    answer = come_back(browser, evil)

    assert answer.status_code == 403
    assert "verified" in answer.context["reason"]
    assert sessions_of(acme) == 0
    with tenant_scope(acme.scope):
        assert not Identity.objects.exists()


def test_verified_is_said_of_the_address_in_email_and_of_no_other_claim(
    acme, evil, connect, sign_in
):
    connect(acme, evil.issuer, link_by_email=True, email_claim="upn")
    evil.userinfo.update(upn=acme.people["tomas"].email, email_verified=True)
    browser = sign_in(acme)

    begin(browser, evil)
    answer = come_back(browser, evil)

    assert answer.status_code == 403
    assert sessions_of(acme) == 0


def test_a_verified_address_connects_its_account_once(acme, evil, connect, sign_in):
    connect(acme, evil.issuer, link_by_email=True)
    evil.userinfo.update(email=acme.people["tomas"].email.upper(), email_verified=True)
    browser = sign_in(acme)

    begin(browser, evil)
    answer = come_back(browser, evil)

    assert answer.status_code == 302
    with tenant_scope(acme.scope):
        assert Identity.objects.get().user == acme.people["tomas"]


def test_claims_are_found_by_their_names_and_by_paths(acme, evil, connect, link, sign_in):
    groups = "https://acme.example/claims.groups"
    connect(acme, evil.issuer, groups_claim=groups, email_claim="contact.mail", create_people=True)
    link(acme, "ada", evil.issuer)
    evil.userinfo.update({groups: ["b", "a", "a", ""], "contact": {"mail": "x@y.example"}})
    browser = sign_in(acme)

    begin(browser, evil)
    answer = come_back(browser, evil)

    assert answer.status_code == 302
    with tenant_scope(acme.scope):
        assert Identity.objects.get().groups == ["a", "b"]
        assert User.objects.filter(email="x@y.example").count() == 0


def test_a_test_sign_in_shows_what_came_and_leaves_the_admin_signed_in(
    acme, evil, connect, sign_in
):
    provider = connect(acme, evil.issuer)
    with tenant_scope(acme.scope):
        type(provider).objects.update(state="draft")
    tomas = sign_in(acme, "tomas")

    answer = tomas.get(f"/settings/sign-in/{provider.pk}/test/")
    evil.asked = asked_of(answer["Location"])
    answer = come_back(tomas, evil)

    assert answer.status_code == 302
    with tenant_scope(acme.scope):
        provider.refresh_from_db()
        assert providers.tested(provider)
        assert provider.tested_claims["subject"] == "ada-at-acme"
        assert provider.tested_claims["groups"] == ["reviewers"]
    assert tomas.get("/").wsgi_request.user == acme.people["tomas"]


def test_a_draft_signs_nobody_in(acme, evil, connected, sign_in):
    browser = sign_in(acme)
    begin(browser, evil)
    with tenant_scope(acme.scope):
        type(connected).objects.update(state="draft")

    answer = come_back(browser, evil)

    assert answer.status_code == 403
    assert sessions_of(acme) == 0


# Keys and documents: kept, renewed once, never hammered.


def test_a_new_key_is_accepted_after_exactly_one_more_look(acme, evil, connected, sign_in):
    first, second = sign_in(acme), sign_in(acme)
    begin(first, evil)
    come_back(first, evil)
    assert (evil.hits["jwks"], evil.hits["openid-configuration"]) == (1, 1)
    evil.keys = [jwk(RSA_OTHER, kid="two")]
    evil.key, evil.header = RSA_OTHER, {"kid": "two"}

    begin(second, evil)
    answer = come_back(second, evil)

    assert answer.status_code == 302
    assert (evil.hits["jwks"], evil.hits["openid-configuration"]) == (2, 1)


def test_a_new_key_under_an_old_name_is_accepted_too(acme, evil, connected, sign_in):
    first, second = sign_in(acme), sign_in(acme)
    begin(first, evil)
    come_back(first, evil)
    evil.keys, evil.key = [jwk(RSA_OTHER)], RSA_OTHER

    begin(second, evil)
    answer = come_back(second, evil)

    assert (answer.status_code, evil.hits["jwks"]) == (302, 2)


def test_invented_keys_make_nobody_ask_the_provider_time_and_again(acme, evil, connected, sign_in):
    browser = sign_in(acme)
    begin(browser, evil)
    come_back(browser, evil)

    for number in range(5):
        evil.key, evil.header = RSA_OTHER, {"kid": f"invented {number}"}
        stranger = sign_in(acme)
        begin(stranger, evil)
        assert come_back(stranger, evil).status_code == 403

    assert evil.hits["jwks"] == 2


def test_a_retired_key_is_worth_nothing_once_the_keys_were_looked_at_again(
    acme, evil, connected, sign_in
):
    browsers = [sign_in(acme) for _ in range(3)]
    begin(browsers[0], evil)
    come_back(browsers[0], evil)
    evil.keys = [jwk(RSA_OTHER, kid="two")]
    evil.key, evil.header = RSA_OTHER, {"kid": "two"}
    begin(browsers[1], evil)
    come_back(browsers[1], evil)
    evil.key, evil.header = RSA, {"kid": "one"}

    begin(browsers[2], evil)

    assert come_back(browsers[2], evil).status_code == 403


def test_a_failed_look_for_new_keys_does_not_cost_the_old_ones(acme, evil, connected, sign_in):
    browser = sign_in(acme)
    begin(browser, evil)
    come_back(browser, evil)
    evil.answers["jwks"] = (500, JSON, b"{}")
    evil.header = {"kid": "two"}
    stranger = sign_in(acme)
    begin(stranger, evil)
    assert come_back(stranger, evil).status_code == 403
    evil.header = {"kid": "one"}

    begin(stranger, evil)

    assert come_back(stranger, evil).status_code == 302


def test_a_provider_that_is_down_is_left_alone_for_a_while(acme, evil, connected, sign_in):
    evil.answers["openid-configuration"] = (500, JSON, b"{}")

    for _ in range(3):
        assert begin(sign_in(acme), evil).status_code == 403

    assert evil.hits["openid-configuration"] == 1


def test_what_one_tenants_provider_says_is_not_believed_for_another(
    acme, globex, evil, connected, connect, link, sign_in
):
    connect(globex, evil.issuer)
    for company in (acme, globex):
        begin(sign_in(company), evil)

    assert evil.hits["openid-configuration"] == 2


def test_a_cache_that_is_away_makes_sign_in_slower_and_nothing_else(
    acme, evil, connected, sign_in, monkeypatch
):
    def away(*args, **kwargs):
        raise RedisError("away")

    for name in ("get", "set", "add"):
        monkeypatch.setattr(cache, name, away)
    browser = sign_in(acme)

    begin(browser, evil)

    assert come_back(browser, evil).status_code == 302
    assert evil.hits["openid-configuration"] == 2


def test_a_secret_that_cannot_be_opened_is_a_refusal_that_says_so(acme, evil, connected, sign_in):
    browser = sign_in(acme)
    begin(browser, evil)

    with override_settings(SECRETS_KEYS=(b"k" * 32,)):
        answer = come_back(browser, evil)

    assert answer.status_code == 403
    assert "an admin has to type it in again" in answer.context["reason"]


def test_what_a_provider_says_of_an_error_is_on_record_and_not_on_the_page(
    acme, evil, connected, sign_in
):
    browser = sign_in(acme)
    begin(browser, evil)

    answer = come_back(
        browser, evil, error="access_denied", error_description="<script>\n" + "x" * 500
    )

    assert "<script>" not in answer.content.decode()
    said = last_entry(acme)[2]["error_description"]
    assert said.startswith("<script>?xxx")
    assert len(said) == 200


def test_sign_ins_that_nobody_began_are_limited(acme, evil, connected, sign_in, monkeypatch):
    monkeypatch.setitem(limits.ALLOWED, "signin", limits.parse("30/minute"))
    browser = sign_in(acme)

    answers = [
        browser.get("/signin/oidc/callback/?state=x&code=y", REMOTE_ADDR="192.0.2.7").status_code
        for _ in range(31)
    ]

    assert answers == [403] * 30 + [429]
