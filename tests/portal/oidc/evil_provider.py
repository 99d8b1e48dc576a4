"""A provider that answers whatever a test wants: honest by default, made evil piece by piece.

One server thread for all tests; each `EvilProvider` is a folder of its addresses.
"""

import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RSA = rsa.generate_private_key(65537, 2048)
RSA_OTHER = rsa.generate_private_key(65537, 2048)
RSA_SHORT = rsa.generate_private_key(65537, 1024)
EC_256 = ec.generate_private_key(ec.SECP256R1())
EC_384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()

SECRET = "a secret: with a colon and ümlaut"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


def jwk(key, **said):
    """The public half of `key` as a provider publishes it; None takes a member away."""
    kinds = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
    }
    algorithm = next(a for kind, a in kinds.items() if isinstance(key, kind))
    public = algorithm.to_jwk(key.public_key(), as_dict=True)
    public.pop("key_ops", None)
    found = {"kid": "one", "use": "sig", **public, **said}
    return {name: value for name, value in found.items() if value is not None}


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def encoded(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class EvilProvider:
    """Issuer, keys, claims and answers, all for a test to change.

    answers: by the last part of the path, (status, headers, bytes) to send instead. hits: how
    often each was asked. forms: what was posted. signed_with: key, algorithm, header of tokens.
    """

    client_id = "countersign"

    def __init__(self, issuer):
        self.issuer = issuer
        self.keys = [jwk(RSA)]
        self.key, self.algorithm, self.header = RSA, "RS256", {"kid": "one"}
        self.claims = {}  # of the id token, over the honest ones; ... takes one away
        self.token = {}  # of the token endpoint's answer, likewise
        self.userinfo = {}
        self.metadata = {}
        self.payload = None  # bytes to sign in place of the claims
        self.mangle = lambda token: token
        self.answers = {}
        self.hits = Counter()
        self.forms = []
        self.authorizations = []
        self.asked = {}  # the parameters of the authorization request

    def published(self):
        return _over(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "end_session_endpoint": f"{self.issuer}/end",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            },
            self.metadata,
        )

    def id_token_claims(self):
        now = int(time.time())
        return _over(
            {
                "iss": self.issuer,
                "sub": "ada-at-acme",
                "aud": self.client_id,
                "exp": now + 300,
                "iat": now,
                "nonce": self.asked.get("nonce"),
                "sid": "session-1",
            },
            self.claims,
        )

    def signed(self, claims):
        payload = self.payload or json.dumps(claims).encode()
        if self.algorithm in {"none", "nOnE"}:
            header = json.dumps({"alg": self.algorithm, **self.header}).encode()
            return f"{encoded(header)}.{encoded(payload)}."
        header = {name: value for name, value in self.header.items() if value is not None}
        said = f"{encoded(json.dumps({'alg': self.algorithm, **header}).encode())}"
        said = f"{said}.{encoded(payload)}"
        if self.algorithm == "HS256":  # PyJWT would not take a public key for a secret
            return f"{said}.{encoded(hmac.digest(self.key, said.encode(), 'sha256'))}"
        if self.algorithm == "RS256":  # PyJWT would warn of a short key
            signature = self.key.sign(said.encode(), PKCS1v15(), SHA256())
            return f"{said}.{encoded(signature)}"
        if self.algorithm == "ES256":  # PyJWT would want the curve that goes with it
            r, s = decode_dss_signature(self.key.sign(said.encode(), ec.ECDSA(SHA256())))
            size = (self.key.key_size + 7) // 8
            return f"{said}.{encoded(r.to_bytes(size) + s.to_bytes(size))}"
        return jwt.PyJWS().encode(payload, self.key, algorithm=self.algorithm, headers=header)

    def token_answer(self):
        answer = {"access_token": "opaque", "token_type": "Bearer", "expires_in": 60}
        if "id_token" not in self.token:
            answer["id_token"] = self.mangle(self.signed(self.id_token_claims()))
        return _over(answer, self.token)

    def userinfo_answer(self):
        said = {
            "sub": "ada-at-acme",
            "email": "ada@work.example",
            "email_verified": True,
            "name": "Ada",
            "groups": ["reviewers"],
        }
        return _over(said, self.userinfo)

    def redeems(self, form, authorization):
        """Whether an honest provider would hand out tokens: secret, code, PKCE."""
        if authorization:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            client, secret = (unquote_plus(part) for part in pair.split(":"))
        else:
            client, secret = form.get("client_id"), form.get("client_secret")
        challenge = encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        return (
            (client, secret) == (self.client_id, SECRET)
            and form["code"] == "a code"
            and form["redirect_uri"] == self.asked.get("redirect_uri")
            and challenge == self.asked.get("code_challenge")
        )

    def answer(self, handler, name, form):
        self.hits[name] += 1
        if name in self.answers:
            status, headers, body = self.answers[name]
            return status, headers, body
        if name == "openid-configuration":
            return _json(self.published())
        if name == "jwks":
            return _json({"keys": self.keys})
        if name == "token":
            self.forms.append(form)
            self.authorizations.append(handler.headers.get("Authorization"))
            if not self.redeems(form, handler.headers.get("Authorization")):
                return _json({"error": "invalid_grant"}, 400)
            return _json(self.token_answer())
        if name == "userinfo":
            if handler.headers["Authorization"] != f"Bearer {self.token_answer()['access_token']}":
                return _json({"error": "invalid_token"}, 401)
            return _json(self.userinfo_answer())
        return 404, {}, b""

    def logout_token(self, **claims):
        now = int(time.time())
        said = _over(
            {
                "iss": self.issuer,
                "sub": "ada-at-acme",
                "sid": "session-1",
                "aud": self.client_id,
                "iat": now,
                "exp": now + 120,
                "jti": f"{time.time_ns()}",
                "events": {LOGOUT_EVENT: {}},
            },
            claims,
        )
        honest, self.header = self.header, {"typ": "logout+jwt", **self.header}
        try:
            return self.signed(said)
        finally:
            self.header = honest


class Server:
    """The thread that serves all of them."""

    def __init__(self):
        providers = self.providers = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                form = dict(parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True))
                path = urlsplit(self.path).path
                provider = providers[path.split("/")[1]]
                status, headers, body = provider.answer(self, path.rsplit("/", 1)[1], form)
                self.send_response(status)
                for header, value in headers.items():
                    self.send_header(header, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *said):
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.server.server_port

    def provider(self, name):
        self.providers[name] = EvilProvider(f"http://127.0.0.1:{self.port}/{name}")
        return self.providers[name]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def asked_of(location):
    """The parameters of an address that a browser is sent to."""
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def _json(document, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _over(honest, changed):
    both = {**honest, **changed}
    return {name: value for name, value in both.items() if value is not ...}
