"""Stands in for AWS KMS on loopback: no part of AWS, only what its published contract says.

It speaks AWS's JSON 1.1 over HTTP. Each request is judged by the service model that botocore ships
(required members, unknown ones, types, enumerations, lengths, patterns), and so is each answer; an
error has to be one that the model lists for the operation, or one of those that all have in common.
What the model does not say (states of keys, which algorithm takes which kind of message) is written
down here from AWS's documentation, and is our reading of it.
"""

import json
import re
from base64 import b64decode, b64encode
from collections import Counter
from contextlib import contextmanager
from hashlib import sha256, sha512
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import botocore.session
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

REGION, ACCOUNT = "eu-central-1", "111122223333"
EDWARDS = "ECC_NIST_EDWARDS25519"
# "Common errors" of the API reference, which no operation's own list repeats.
COMMON = frozenset(
    {
        "AccessDeniedException",
        "InvalidSignatureException",
        "ThrottlingException",
        "ValidationException",
    }
)
MODEL = botocore.session.Session().get_service_model("kms")


class Refusal(Exception):
    """An error of the service: its code, and words that nobody should see."""

    def __init__(self, code: str, words: str = "words of the service") -> None:
        super().__init__(code)
        self.code, self.words = code, words


class StandIn:
    """Keys and aliases of one account in one region."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.refusals: dict[str, Refusal] = {}  # by operation
        self.signs_with: str | None = None  # id of a key that signs instead of the one asked for
        self.answers = Event()  # while it is not set, nobody gets an answer
        self.answers.set()
        self.says_nonsense = False
        self.problems: list[str] = []  # requests and answers that the model does not allow
        self.scopes: set[str] = set()  # region and service that requests were signed for
        self.address = ""

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        if operation in self.refusals:
            raise self.refusals[operation]
        return {
            "CreateKey": self._create_key,
            "CreateAlias": self._create_alias,
            "GetPublicKey": self._get_public_key,
            "Sign": self._sign,
        }[operation](given)

    def _create_key(self, given):
        spec, usage = given.get("KeySpec", "SYMMETRIC_DEFAULT"), given.get("KeyUsage")
        if spec not in {EDWARDS, "ECC_NIST_P256"} or usage != "SIGN_VERIFY":
            raise Refusal("ValidationException")
        key_id = str(uuid4())
        made = (
            Ed25519PrivateKey.generate() if spec == EDWARDS else generate_private_key(SECP256R1())
        )
        self.keys[key_id] = {
            "pair": made,
            "spec": spec,
            "state": "Enabled",
            "tags": {tag["TagKey"]: tag["TagValue"] for tag in given.get("Tags", [])},
        }
        return {
            "KeyMetadata": {
                "KeyId": key_id,
                "Arn": arn(key_id),
                "KeySpec": spec,
                "KeyUsage": "SIGN_VERIFY",
                "KeyState": "Enabled",
                "SigningAlgorithms": _algorithms(spec),
            }
        }

    def _create_alias(self, given):
        if given["AliasName"] in self.aliases:
            raise Refusal("AlreadyExistsException")
        if not re.fullmatch(r"alias/(?!aws/)[a-zA-Z0-9/_-]+", given["AliasName"]):
            raise Refusal("InvalidAliasNameException")
        if given["TargetKeyId"].startswith("alias/"):
            raise Refusal("ValidationException")
        self.aliases[given["AliasName"]] = self._key(given["TargetKeyId"])[0]
        return {}

    def _get_public_key(self, given):
        key_id, key = self._usable(given["KeyId"])
        public = key["pair"].public_key()
        return {
            "KeyId": arn(key_id),
            "PublicKey": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "KeySpec": key["spec"],
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": _algorithms(key["spec"]),
        }

    def _sign(self, given):
        key_id, key = self._usable(given["KeyId"])
        algorithm, kind = given["SigningAlgorithm"], given.get("MessageType", "RAW")
        if algorithm not in _algorithms(key["spec"]):
            raise Refusal("InvalidKeyUsageException")
        # "ED25519_SHA_512 requires RAW, ED25519_PH_SHA_512 requires DIGEST", and a digest's length.
        message = given["Message"]
        prehashed = algorithm == "ED25519_PH_SHA_512"
        if prehashed != (kind == "DIGEST") or (prehashed and len(message) != 64):
            raise Refusal("ValidationException")
        signing = self.keys[self.signs_with]["pair"] if self.signs_with else key["pair"]
        # Not Ed25519ph, which the library lacks; like it, nothing that plain Ed25519 verifies.
        signature = signing.sign(sha512(message).digest() if prehashed else message)
        return {"KeyId": arn(key_id), "Signature": signature, "SigningAlgorithm": algorithm}

    def _usable(self, name):
        key_id, key = self._key(name)
        if key["state"] == "Disabled":
            raise Refusal("DisabledException")
        if key["state"] != "Enabled":
            raise Refusal("KMSInvalidStateException")
        return key_id, key

    def _key(self, name):
        key_id = self.aliases.get(name, name).rpartition("/")[2]
        if key_id not in self.keys:
            raise Refusal("NotFoundException")
        return key_id, self.keys[key_id]


def arn(key_id: str) -> str:
    return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"


def _algorithms(spec):
    return ["ED25519_SHA_512", "ED25519_PH_SHA_512"] if spec == EDWARDS else ["ECDSA_SHA_256"]


def faults(shape, value, where="it"):
    """What the service model has against a value in JSON's types, blobs in base64."""
    limits = shape.metadata
    match shape.type_name:
        case "structure":
            if not isinstance(value, dict):
                return [f"{where} is no structure"]
            missing = [f"{where} lacks {n}" for n in shape.required_members if n not in value]
            unknown = [f"{where} has {n}" for n in value if n not in shape.members]
            known = [n for n in value if n in shape.members]
            return [
                *missing,
                *unknown,
                *(f for n in known for f in faults(shape.members[n], value[n], f"{where}.{n}")),
            ]
        case "list":
            if not isinstance(value, list):
                return [f"{where} is no list"]
            return [f for one in value for f in faults(shape.member, one, f"{where}[]")]
        case "string" | "blob":
            if not isinstance(value, str):
                return [f"{where} is no string"]
            told = b64decode(value, validate=True) if shape.type_name == "blob" else value
            found = []
            if not limits.get("min", 0) <= len(told) <= limits.get("max", len(told)):
                found.append(f"{where} has a length of {len(told)}")
            if shape.type_name == "string":
                if shape.enum and value not in shape.enum:
                    found.append(f"{where} is {value!r}")
                pattern = limits.get("pattern")
                if pattern and not re.search(pattern, value):
                    found.append(f"{where} is spelled {value!r}")
            return found
        case kind:
            return [f"{where} is a {kind}, which the stand-in does not judge"]


def _in_json(shape, answer):
    """Blobs as base64. The shapes that are answered with have them at the top only."""
    return {
        name: b64encode(value).decode() if shape.members[name].type_name == "blob" else value
        for name, value in answer.items()
    }


def _from_json(shape, given):
    return {
        name: b64decode(value) if shape.members[name].type_name == "blob" else value
        for name, value in given.items()
    }


def _handler(service: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            prefix, _, operation = self.headers["X-Amz-Target"].partition(".")
            service.asked[operation] += 1
            if not service.answers.is_set():
                service.answers.wait()
                return  # hangs up; whoever asked has long gone
            if service.says_nonsense:
                self._send(200, b"<html>a proxy's page</html>")
                return
            self._judge_envelope(prefix, body)
            model = MODEL.operation_model(operation)
            given = json.loads(body)
            try:
                if wrong := faults(model.input_shape, given, operation):
                    service.problems += wrong
                    raise Refusal("ValidationException", "; ".join(wrong))
                answer = service.answer(operation, _from_json(model.input_shape, given))
            except Refusal as refusal:
                self._refuse(model, refusal)
                return
            said = _in_json(model.output_shape, answer) if model.output_shape else {}
            if model.output_shape:
                service.problems += faults(model.output_shape, said, f"answer to {operation}")
            self._send(200, json.dumps(said).encode() if model.output_shape else b"")

        def _judge_envelope(self, prefix, body):
            metadata = MODEL.metadata
            if prefix != metadata["targetPrefix"] or self.path != "/":
                service.problems.append(f"asked {prefix} at {self.path}")
            if self.headers["Content-Type"] != f"application/x-amz-json-{metadata['jsonVersion']}":
                service.problems.append(f"sent {self.headers['Content-Type']}")
            signed = re.fullmatch(
                r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([^/]+/[^/]+)/aws4_request, "
                r"SignedHeaders=\S+, Signature=[0-9a-f]{64}",
                self.headers["Authorization"] or "",
            )
            if signed is None:
                service.problems.append("not signed as SigV4 asks for")
            else:
                service.scopes.add(signed[1])
            digest = self.headers.get("X-Amz-Content-SHA256")
            if digest not in {None, sha256(body).hexdigest()}:
                service.problems.append("another body than was signed")

        def _refuse(self, model, refusal):
            if refusal.code not in {shape.name for shape in model.error_shapes} | COMMON:
                service.problems.append(f"{model.name} does not answer {refusal.code}")
            status = 500 if refusal.code == "KMSInternalException" else 400
            fields = {"__type": refusal.code, "message": refusal.words}
            self._send(status, json.dumps(fields).encode())

        def _send(self, status, body):
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-amzn-RequestId", str(uuid4()))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            """Nothing: what was asked is counted."""

    return Handler


@contextmanager
def running():
    """A StandIn with its address, until the block ends."""
    service = StandIn()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(service)) as server:
        service.address = f"http://127.0.0.1:{server.server_port}"
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield service
        finally:
            service.answers.set()
            server.shutdown()
            serving.join()
