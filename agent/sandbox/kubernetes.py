"""What to hand to a Kubernetes cluster to run a job there; checked against its schema, not run.

No cluster was at hand when this was written: that the objects are valid is tested, that a cluster
keeps a job in as they say is not. cluster.py hands them over; `engine()` never chooses it.
"""

import base64
import re
from pathlib import Path
from typing import Any

from agent.sandbox import bundle, collecting
from agent.sandbox.gvisor import OVERHEAD_MB
from agent.sandbox.job import INPUTS, NOBODY, OURS, WORKSPACE, BadJob, Job

TIER = "kubernetes"
RUNTIME_CLASS = "gvisor"
# etcd takes no larger object; everything a job brings comes in one.
BYTES = 900_000
_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_START = Path(__file__).with_name("start.sh")
_LABEL = "countersign.dev/sandbox"
LABELLED = f"{_LABEL}=job"
# The cluster's own deadline is for jobs whose worker is gone: it counts from when the job was
# made, and takes the pod away with everything it printed. The worker keeps to the limit before.
SPARE_S = 180


def objects(job: Job, *, name: str, namespace: str, image: str) -> list[dict[str, Any]]:
    """A ConfigMap with the job's files and the Job that runs them, in the order to create them.

    name: unique in the namespace, a DNS label.
    image: with its digest; holds the environment at /environment, /bin/sh, tar and base64.
    The output is the log of the container "job". The report, its descriptor 3, goes to a file in
    memory, which the container "report" prints as base64 once the job's command has ended.
    deploy/kubernetes/ has what the namespace needs: without a network plugin that enforces its
    policy, the job has a network.
    Raises BadJob for what does not fit into one object.
    """
    if not _DIGEST.fullmatch(image):
        raise BadJob("an image is named with its digest, or anybody may change it later")
    data = {
        "start.sh": _START.read_bytes(),
        "collecting.py": Path(collecting.__file__).read_bytes(),
        "workspace.tar": bundle.packed(job.files) if job.files else b"",
        "inputs.tar": bundle.packed(job.inputs) if job.inputs else b"",
        "patterns": b"\0".join(pattern.encode() for pattern in job.collect),
    }
    if sum(map(len, data.values())) > BYTES:
        raise BadJob(f"a job on Kubernetes brings at most {BYTES} bytes")
    labels = {_LABEL: "job"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    files = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "binaryData": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    work = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": max(1, round(job.limits.wall_s)) + SPARE_S,
            "ttlSecondsAfterFinished": 60,
            "template": {"metadata": {"labels": labels}, "spec": _pod(job, name, image)},
        },
    }
    return [files, work]


def _pod(job: Job, name: str, image: str) -> dict[str, Any]:
    limits = job.limits
    script = (
        f"tar -xf {OURS}/inputs.tar -C {INPUTS} 2>/dev/null; "
        # The shell is the first process: what the job kills on its way out leaves it alone.
        f'{bundle.command(job)[0]} {OURS}/start.sh "$@" 3>/report/report; '
        "code=$?; : >/report/done; exit $code"
    )
    telling = "until [ -e /report/done ]; do sleep 0.1; done; exec base64 /report/report"
    memory = {
        "work": (WORKSPACE, limits.disk_mb),
        "inputs": (INPUTS, max(1, limits.tmp_mb)),
        "tmp": ("/tmp", limits.tmp_mb),  # noqa: S108  # a file system of the pod
        "report": ("/report", max(1, limits.artifact_bytes // 1024**2)),
    }
    kept_in = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    container = {
        "name": "job",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script, "sh"],
        "args": bundle.command(job)[2:],
        "workingDir": "/",
        "env": [{"name": key, "value": value} for key, value in bundle.variables(job).items()],
        "resources": {
            kind: {"cpu": "1", "memory": f"{limits.memory_mb + OVERHEAD_MB}Mi"}
            | {"ephemeral-storage": "64Mi"}
            for kind in ("limits", "requests")
        },
        "securityContext": kept_in,
        "volumeMounts": [
            {"name": "ours", "mountPath": OURS, "readOnly": True},
            *({"name": key, "mountPath": place} for key, (place, _) in memory.items()),
        ],
    }
    report = {
        "name": "report",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", telling],
        "resources": {
            kind: {"cpu": "100m", "memory": "32Mi", "ephemeral-storage": "64Mi"}
            for kind in ("limits", "requests")
        },
        "securityContext": kept_in,
        "volumeMounts": [{"name": "report", "mountPath": "/report", "readOnly": True}],
    }
    return {
        "runtimeClassName": RUNTIME_CLASS,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "hostname": "sandbox",
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},  # asks nobody
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container, report],
        "volumes": [
            {"name": "ours", "configMap": {"name": name, "defaultMode": 0o444}},
            *(
                {"name": key, "emptyDir": {"medium": "Memory", "sizeLimit": f"{size}Mi"}}
                for key, (_, size) in memory.items()
            ),
        ],
    }
