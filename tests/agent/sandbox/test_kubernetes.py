"""Objects for a cluster: valid by the published schema, and strict. No cluster runs them here."""

import base64
import copy
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from agent.sandbox import BadJob, Job, Limits, kubernetes

ROOT = Path(__file__).resolve().parents[3]
IMAGE = "images.example/python@sha256:" + "a" * 64
JOB = Job(("python", "-m", "pytest"), {"a.py": b"1"}, collect=("*.xml",), limits=Limits(wall_s=30))
MADE = kubernetes.objects(JOB, name="run-1", namespace="countersign-sandbox", image=IMAGE)
DEPLOYED = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "sandbox.yaml").read_text()))


@pytest.mark.parametrize("made", [*MADE, *DEPLOYED], ids=lambda made: made["kind"])
@pytest.mark.parametrize("version", ["1.32", "1.36"])
def test_each_object_is_what_the_published_schema_says(made, version):
    kubernetes_validate.validate(made, version, strict=True)
    spoilt = copy.deepcopy(made) | {"unknown": 1}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(spoilt, version, strict=True)


def test_the_pod_meets_the_restricted_profile_and_more():
    pod = MADE[1]["spec"]["template"]["spec"]
    container = pod["containers"][0]

    assert [one["name"] for one in pod["containers"]] == ["job", "report"]
    for one in pod["containers"]:
        assert one["securityContext"] == container["securityContext"]
    assert pod["runtimeClassName"] == DEPLOYED[0]["metadata"]["name"] == "gvisor"
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} == {
        "configMap",
        "emptyDir",
    }
    assert all(v["emptyDir"]["medium"] == "Memory" for v in pod["volumes"] if "emptyDir" in v)
    assert (MADE[1]["spec"]["backoffLimit"], MADE[1]["spec"]["activeDeadlineSeconds"]) == (0, 210)


def test_the_namespace_lets_nothing_in_or_out():
    policy = next(made for made in DEPLOYED if made["kind"] == "NetworkPolicy")

    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_files_of_a_job_are_in_its_map():
    data = MADE[0]["binaryData"]

    assert b"a.py" in base64.b64decode(data["workspace.tar"])
    assert base64.b64decode(data["patterns"]) == b"*.xml"


@pytest.mark.parametrize("image", ["python:3.13", "python", "python@sha256:abc"])
def test_an_image_that_may_change_is_refused(image):
    with pytest.raises(BadJob, match="digest"):
        kubernetes.objects(JOB, name="run-1", namespace="x", image=image)


def test_what_does_not_fit_into_one_object_is_refused():
    large = Job(("true",), {"large": bytes(kubernetes.BYTES)})

    with pytest.raises(BadJob, match="at most"):
        kubernetes.objects(large, name="run-1", namespace="x", image=IMAGE)
