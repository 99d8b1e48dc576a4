"""Runs jobs on a Kubernetes cluster, over the cluster's own API by plain HTTPS.

Tried against a server of ours that answers as the published API says, never on a cluster: what a
cluster does beyond its API (whether it keeps a job in, above all) is not shown. `engine()` does not
choose it. See kubernetes.py for what is handed over, and deploy/kubernetes/ for the namespace.
"""

import base64
import binascii
import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from agent.sandbox import kubernetes
from agent.sandbox.frames import Report
from agent.sandbox.job import Ended, Job, Outcome, SandboxUnavailable, Session
from agent.sandbox.supervision import START_S

PATIENCE = urllib3.Timeout(connect=5, read=30)
LINGER_S = 20  # until a job that was deleted is gone, or its report is complete
_OUT_OF_MEMORY = "OOMKilled"
# Why a pod does not start although it waits: no time makes this better.
_HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"})


class _Missing(Exception):
    """There is no such thing on the cluster."""


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster, as an engine.

    token: file with the token of a service account; read for each call, since it is replaced.
    certificates: file with the authority that signed the server's certificate.
    image: with its digest; see kubernetes.objects().
    every: seconds between two looks at a job.
    """

    address: str
    namespace: str
    image: str
    token: Path
    certificates: Path
    every: float = 0.5
    tier: str = kubernetes.TIER

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=str(self.certificates))

    def run(
        self,
        job: Job,
        *,
        on_output: Callable[[bytes], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Run the job to its end, see `Engine.run`. Standard output and error come as one."""
        name = f"run-{secrets.token_hex(8)}"
        files, work = kubernetes.objects(job, name=name, namespace=self.namespace, image=self.image)
        uid = self._create("batch/v1", "jobs", work)["metadata"]["uid"]
        watched = _Watched(self, job, name, on_output, cancelled)
        try:
            # The cluster removes the files with the job that owns them, however that goes.
            owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
            files["metadata"] = {**files["metadata"], "ownerReferences": [owner]}
            self._create("v1", "configmaps", files)
            return watched.finish()
        finally:
            self._remove(name)

    def open(self, job: Job, *, cancelled: Callable[[], bool] | None = None) -> Session:
        """Refuses: a command that is talked to needs a sandbox on the worker's own machine."""
        raise SandboxUnavailable("a job on a cluster cannot be talked to while it runs")

    def reap(self) -> int:
        """Delete the jobs of dead workers that ran out of time. Returns how many there were.

        A cluster ends a job at its deadline by itself and removes it a minute after its end.
        """
        found = 0
        for row in self._get("batch/v1", "jobs", labelSelector=kubernetes.LABELLED)["items"]:
            conditions = row.get("status", {}).get("conditions") or []
            if any(one["type"] in {"Failed", "Complete"} and one["status"] == "True"
                   for one in conditions):  # fmt: skip
                self._remove(row["metadata"]["name"])
                found += 1
        return found

    # The API --------------------------------------------------------------------------------

    def pod_of(self, name: str) -> dict[str, Any] | None:
        """The pod of a job; None while there is none, or no more."""
        rows: list[dict[str, Any]] = self._get("v1", "pods", labelSelector=f"job-name={name}")[
            "items"
        ]
        return rows[0] if rows else None

    def failed_because(self, name: str) -> str:
        """Why the cluster ended a job, in its word; empty while it did not."""
        try:
            job = self._get("batch/v1", "jobs", name)
        except _Missing:
            return "Deleted"
        conditions = job.get("status", {}).get("conditions") or []
        return next((str(c.get("reason", "")) for c in conditions if c["type"] == "Failed"), "")

    def log_of(self, pod: str, container: str, limit: int) -> bytes:
        """What a container printed, at most so many bytes; nothing before it runs."""
        path = f"{self._path('v1', 'pods', pod)}/log"
        asked = {"container": container, "limitBytes": limit}
        answer = self._send("GET", f"{path}?{urlencode(asked)}")
        # 400: the container waits to start, or is gone already.
        return answer.data if answer.status == 200 else b""

    def _get(self, group: str, kind: str, name: str = "", **asked: str) -> dict[str, Any]:
        query = f"?{urlencode(asked)}" if asked else ""
        return self._object(self._send("GET", self._path(group, kind, name) + query))

    def _create(self, group: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._object(self._send("POST", self._path(group, kind), body))

    def _remove(self, name: str) -> None:
        """Delete a job with its pod at once, and see that both are gone."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "gracePeriodSeconds": 0,
        }
        answer = self._send("DELETE", self._path("batch/v1", "jobs", name), options)
        if answer.status not in {200, 202, 404}:
            raise SandboxUnavailable(f"job {name} cannot be deleted: {_complaint(answer)}")
        until = time.monotonic() + LINGER_S
        while self.pod_of(name) is not None:
            if time.monotonic() > until:
                raise SandboxUnavailable(f"the pod of job {name} does not end; look at it")
            time.sleep(self.every)

    def _path(self, group: str, kind: str, name: str = "") -> str:
        root = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        below = f"/{quote(name, safe='')}" if name else ""
        return f"{root}/namespaces/{quote(self.namespace, safe='')}/{kind}{below}"

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                method,
                self.address.rstrip("/") + path,
                body=None if body is None else json.dumps(body).encode(),
                headers={
                    "Authorization": f"Bearer {self.token.read_text().strip()}",
                    "Accept": "application/json, */*",
                    "Content-Type": "application/json",
                },
                timeout=PATIENCE,
                redirect=False,
                # Creating something twice would be two; reading is asked again by whoever waits.
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SandboxUnavailable(f"the cluster cannot be reached: {error}") from error

    @staticmethod
    def _object(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        if answer.status == 404:
            raise _Missing
        if not 200 <= answer.status < 300:
            raise SandboxUnavailable(f"the cluster says no: {_complaint(answer)}")
        try:
            said = json.loads(answer.data)
        except ValueError as error:
            raise SandboxUnavailable("the cluster answers with something else") from error
        if not isinstance(said, dict):
            raise SandboxUnavailable("the cluster answers with something else")
        return said


def _complaint(answer: urllib3.BaseHTTPResponse) -> str:
    try:
        return f"{answer.status}: {json.loads(answer.data)['message']}"[:500]
    except (ValueError, KeyError, TypeError):
        return str(answer.status)


class _Watched:
    """One job on a cluster from its start to its end."""

    def __init__(
        self,
        cluster: Cluster,
        job: Job,
        name: str,
        on_output: Callable[[bytes], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._cluster, self._job, self._name = cluster, job, name
        self._on_output, self._cancelled = on_output, cancelled
        self._began = time.monotonic()
        self._started: float | None = None
        self._output = b""

    def finish(self) -> Outcome:
        """Look again and again until it has ended, or is to be ended."""
        while True:
            pod = self._cluster.pod_of(self._name)
            statuses = {s["name"]: s["state"] for s in _statuses(pod)}
            state = statuses.get("job", {})
            if self._started is None and ("running" in state or "terminated" in state):
                self._started = time.monotonic()
            if pod is not None and self._started is not None:
                self._read(pod["metadata"]["name"])
            if pod is not None and "terminated" in state:
                return self._ended(pod["metadata"]["name"], state["terminated"])
            if why := self._over(pod, state):
                return self._outcome(why)
            time.sleep(self._cluster.every)

    def _over(self, pod: dict[str, Any] | None, state: dict[str, Any]) -> Ended | None:
        now = time.monotonic()
        if self._cancelled is not None and self._cancelled():
            return Ended.CANCELLED
        if len(self._output) > self._job.limits.output_bytes:
            return Ended.OUTPUT_LIMIT
        if self._started is not None:
            late = now - self._started > self._job.limits.wall_s
            return Ended.TIMED_OUT if late or self._gone(pod) else None
        waits_for = state.get("waiting", {}).get("reason")
        if waits_for in _HOPELESS or now - self._began > START_S or self._gone(pod):
            return Ended.FAILED_TO_START
        return None

    def _gone(self, pod: dict[str, Any] | None) -> bool:
        """Whether the cluster itself has ended it: at its deadline, or because somebody did."""
        return pod is None and self._cluster.failed_because(self._name) != ""

    def _read(self, pod: str) -> None:
        """Hand on what was printed since the last look."""
        limit = self._job.limits.output_bytes
        seen = len(self._output)
        self._output = self._cluster.log_of(pod, "job", limit + 1)
        if self._on_output is not None and seen < min(len(self._output), limit):
            self._on_output(self._output[seen:limit])

    def _ended(self, pod: str, how: dict[str, Any]) -> Outcome:
        self._read(pod)
        if how.get("reason") == _OUT_OF_MEMORY:
            return self._outcome(Ended.OUT_OF_MEMORY)
        if len(self._output) > self._job.limits.output_bytes:
            return self._outcome(Ended.OUTPUT_LIMIT)
        until = time.monotonic() + LINGER_S
        while not self._told() and time.monotonic() < until:
            time.sleep(self._cluster.every)
        report = self._report(pod)
        if report.exit_code is None:
            return self._outcome(Ended.FAILED_TO_START, report)
        return self._outcome(Ended.EXITED, report)

    def _told(self) -> bool:
        """Whether the second container has read the whole report out."""
        pod = self._cluster.pod_of(self._name)
        return any(
            row["name"] == "report" and "terminated" in row["state"] for row in _statuses(pod)
        )

    def _report(self, pod: str) -> Report:
        """What the second container has read out; all of it is untrusted."""
        limits = self._job.limits
        report = Report(limits)
        # Base64 makes three bytes four, and a line end follows each 76.
        text = self._cluster.log_of(pod, "report", 2 * limits.artifact_bytes + 100_000)
        try:
            report.feed(base64.b64decode(b"".join(text.split()), validate=True))
        except binascii.Error:
            report.broken = "it is no base64"
        return report

    def _outcome(self, ended: Ended, report: Report | None = None) -> Outcome:
        now = time.monotonic()
        started = now if self._started is None else self._started
        exited = ended is Ended.EXITED and report is not None
        rejected = list(report.rejected) if report else []
        if report and report.broken:
            rejected.append(f"the report: {report.broken}")
        return Outcome(
            ended=ended,
            exit_code=report.exit_code if exited and report else None,
            stdout=self._output[: self._job.limits.output_bytes],
            stderr=b"",
            artifacts=report.artifacts if exited and report else {},
            tier=self._cluster.tier,
            environment_digest=self._cluster.image.rpartition("sha256:")[2],
            wall_ms=round((now - started) * 1000),
            peak_memory_mb=None,
            rejected=tuple(rejected),
            start_ms=round((started - self._began) * 1000),
        )


def _statuses(pod: dict[str, Any] | None) -> Iterable[dict[str, Any]]:
    return (pod or {}).get("status", {}).get("containerStatuses") or []
