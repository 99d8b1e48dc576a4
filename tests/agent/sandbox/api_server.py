"""A server that answers as the API of a cluster does, for one namespace; a double, no cluster.

Every object that comes in and every one that goes out is held against the published OpenAPI schema
(kubernetes-validate, strict). Containers are really run, by bubblewrap, with the volumes that their
pod says; what else a cluster does (schedule, keep in, enforce policies) is not here.
"""

import base64
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator, ValidationError
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

VERSION = "1.36"
_MACHINERY = {"Status", "DeleteOptions"}
NOW = "2026-11-23T05:00:00Z"
TOKEN = "a-token-of-the-service-account"


class Cluster:
    """Jobs, files and pods of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.jobs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, Pod] = {}
        self.asked: list[str] = []
        self.fate = ""  # of containers: "", OOMKilled, ErrImageNeverPull, never
        self.lock = threading.Lock()

    def answer(self, method: str, address: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        """Status, and an object or (a log) bytes."""
        parts = urlsplit(address)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.asked.append(f"{method} {parts.path}")
        with self.lock:
            match method, parts.path.split("/")[1:]:
                case "POST", ["apis", "batch", "v1", "namespaces", self.namespace, "jobs"]:
                    return self._create_job(checked(body))
                case "POST", ["api", "v1", "namespaces", self.namespace, "configmaps"]:
                    return self._create_files(checked(body))
                case "GET", ["apis", "batch", "v1", "namespaces", self.namespace, "jobs"]:
                    return 200, a_list("batch/v1", "JobList", list(self.jobs.values()))
                case "GET", ["apis", "batch", "v1", "namespaces", self.namespace, "jobs", name]:
                    return (200, checked(self.jobs[name])) if name in self.jobs else not_found(name)
                case "DELETE", ["apis", "batch", "v1", "namespaces", self.namespace, "jobs", name]:
                    return self._delete_job(name, checked(body))
                case "GET", ["api", "v1", "namespaces", self.namespace, "pods"]:
                    label, _, value = query["labelSelector"].partition("=")
                    assert label == "job-name"
                    pods = [self.pods[value].said()] if value in self.pods else []
                    return 200, a_list("v1", "PodList", pods)
                case "GET", ["api", "v1", "namespaces", self.namespace, "pods", name, "log"]:
                    return self._log(name, query)
        return not_found(parts.path)

    def _create_job(self, job: dict[str, Any]) -> tuple[int, Any]:
        name = job["metadata"]["name"]
        if name in self.jobs:
            return failure(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
        job["metadata"] |= {"uid": f"uid-of-{name}", "creationTimestamp": NOW}
        job["status"] = {}
        self.jobs[name] = job
        self.pods[name] = Pod(name, job["spec"]["template"]["spec"], self)
        return 201, checked(job)

    def _create_files(self, files: dict[str, Any]) -> tuple[int, Any]:
        [owner] = files["metadata"]["ownerReferences"]
        assert self.jobs[owner["name"]]["metadata"]["uid"] == owner["uid"]
        self.files[files["metadata"]["name"]] = files
        self.pods[owner["name"]].start(files["binaryData"])
        return 201, files

    def _delete_job(self, name: str, options: dict[str, Any]) -> tuple[int, Any]:
        assert options["propagationPolicy"] == "Background"
        if name not in self.jobs:
            return not_found(name)
        job = self.jobs.pop(name)
        # The garbage collector: what the job owns goes with it.
        if pod := self.pods.pop(name, None):
            pod.end()
        self.files = {
            key: value
            for key, value in self.files.items()
            if value["metadata"]["ownerReferences"][0]["uid"] != job["metadata"]["uid"]
        }
        return 200, {"apiVersion": "v1", "kind": "Status", "status": "Success"}

    def _log(self, name: str, query: dict[str, str]) -> tuple[int, Any]:
        pod = next((pod for pod in self.pods.values() if pod.name == name), None)
        if pod is None:
            return not_found(name)
        log = pod.log(query["container"])
        if log is None:
            return failure(400, "BadRequest", f"container {query['container']} is waiting to start")
        return 200, log[: int(query["limitBytes"])]

    def expire(self, name: str) -> None:
        """What the job controller does at the deadline: the pod goes, its log with it."""
        with self.lock:
            self.pods.pop(name).end()
            condition = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
            self.jobs[name]["status"] = {"conditions": [condition]}


class Pod:
    """The containers of a job, run for real with the volumes that the pod says."""

    def __init__(self, job: str, spec: dict[str, Any], cluster: Cluster) -> None:
        self.name, self.job, self.spec, self.cluster = f"{job}-x7k2p", job, spec, cluster
        self.folder = Path(tempfile.mkdtemp(prefix="pod-"))
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, files: dict[str, str]) -> None:
        if self.cluster.fate in {"never", "ErrImageNeverPull"}:
            return
        for volume in self.spec["volumes"]:
            (self.folder / volume["name"]).mkdir()
        for name, content in files.items():
            (self.folder / "ours" / name).write_bytes(base64.b64decode(content))
        for container in self.spec["containers"]:
            with (self.folder / f"{container['name']}.log").open("wb") as log:
                self.running[container["name"]] = subprocess.Popen(
                    self._command(container), stdout=log, stderr=subprocess.STDOUT, env={}
                )

    def _command(self, container: dict[str, Any]) -> list[str]:
        # As the image would: the product's Python at /environment, the system below /usr.
        python = ["--ro-bind", sys.prefix, "/environment"]
        python += ["--ro-bind", sys.base_prefix, sys.base_prefix]
        links = [
            x for name in ("bin", "lib", "lib64") for x in ("--symlink", f"usr/{name}", f"/{name}")
        ]
        mounts = []
        for mount in container["volumeMounts"]:
            how = "--ro-bind" if mount.get("readOnly") else "--bind"
            mounts += [how, str(self.folder / mount["name"]), mount["mountPath"]]
        variables = []
        for variable in container.get("env", []):
            variables += ["--setenv", variable["name"], variable["value"]]
        return [
            *("/usr/bin/bwrap", "--unshare-pid", "--as-pid-1", "--unshare-net"),
            "--die-with-parent",
            *("--proc", "/proc", "--dev", "/dev", "--ro-bind", "/usr", "/usr"),
            *links, *python, *mounts, *variables, "--chdir", "/", "--",
            *container["command"], *container.get("args", []),
        ]  # fmt: skip

    def log(self, container: str) -> bytes | None:
        file = self.folder / f"{container}.log"
        return file.read_bytes() if file.exists() else None

    def said(self) -> dict[str, Any]:
        """The pod as its API object."""
        statuses = [self._status(one) for one in self.spec["containers"]]
        return checked(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": self.name,
                    "namespace": self.cluster.namespace,
                    "labels": {"job-name": self.job},
                },
                "spec": self.spec,
                "status": {
                    "phase": "Running" if self.running else "Pending",
                    "containerStatuses": statuses,
                },
            }
        )

    def _status(self, container: dict[str, Any]) -> dict[str, Any]:
        name = container["name"]
        process = self.running.get(name)
        code = process.poll() if process else None
        if process is None:
            reason = self.cluster.fate if self.cluster.fate != "never" else "ContainerCreating"
            state: dict[str, Any] = {"waiting": {"reason": reason or "ContainerCreating"}}
        elif code is None:
            state = {"running": {"startedAt": NOW}}
        elif name == "job" and self.cluster.fate == "OOMKilled":
            state = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
        else:
            reason = "Completed" if code == 0 else "Error"
            state = {"terminated": {"exitCode": code % 256, "reason": reason}}
        return {
            "name": name,
            "image": container["image"],
            "imageID": container["image"],
            "ready": False,
            "restartCount": 0,
            "state": state,
        }

    def end(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)


def checked(made: dict[str, Any] | None) -> dict[str, Any]:
    """An object that is what the published schema says; raises for any other."""
    assert made is not None
    _validator(made["kind"], made["apiVersion"]).validate(made)
    return made


@cache
def _validator(kind: str, version: str) -> Draft202012Validator:
    """As kubernetes_validate.validate() makes it, but once: reading the schema takes a while."""
    folder = f"kubernetes-json-schema/v{VERSION}.0-local-strict"
    # Two kinds are of the API's machinery: their schemas stand under the name of that.
    group = "meta-v1" if kind in _MACHINERY else version.replace("/", "-")
    schema = schema_contents(f"{folder}/{kind.lower()}-{group}.json", VERSION)
    return Draft202012Validator(schema, registry=_definitions(folder))


@cache
def _definitions(folder: str) -> Registry[Any]:
    definitions = Resource.from_contents(schema_contents(f"{folder}/_definitions.json", VERSION))
    registry: Registry[Any] = definitions @ Registry()
    return registry


def a_list(group: str, kind: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return checked({"apiVersion": group, "kind": kind, "metadata": {}, "items": items})


def not_found(name: str) -> tuple[int, Any]:
    return failure(404, "NotFound", f"{name} not found")


def failure(code: int, reason: str, message: str) -> tuple[int, Any]:
    said = {"status": "Failure", "code": code, "reason": reason, "message": message}
    return code, checked({"apiVersion": "v1", "kind": "Status", "metadata": {}, **said})


@contextmanager
def served(cluster: Cluster, context: ssl.SSLContext) -> Iterator[str]:
    """The cluster's API over TLS on the loopback; gives its address."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, said = failure(401, "Unauthorized", "Unauthorized")
            else:
                try:
                    status, said = cluster.answer(self.command, self.path, body)
                except ValidationError as error:
                    status, said = failure(422, "Invalid", error.message)
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            for pod in cluster.pods.values():
                pod.end()
