"""Which layer a decision belongs to, from what people call it and from its options."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable

from agent.recommender.catalogue import Catalogue, Layer
from agent.recommender.constraints import plain
from agent.recommender.written_names import has_unread_words, in_layer, parts_of, whole

# What one capability that the words ask for says about the layer, next to one option's vote of 1.
ASKED_SHARE = 0.2


def layer_of(
    slug: str, names: Iterable[str], catalogue: Catalogue, asked: Collection[str] = ()
) -> Layer:
    """The layer that a decision belongs to: named by its id, else the one most options can fill.

    asked: capabilities that the request's words ask for; they decide between layers that both fit.

    When nothing says, a layer of its own without capabilities, with the usual criteria.
    """
    votes = dict.fromkeys((layer.id for layer in catalogue.layers), 0.0)
    given = list(names)
    for name in given:
        parts = parts_of(name, catalogue)
        found = whole(name, catalogue) or next(iter(parts), None)
        if found is not None and found.kind == "platform" and has_unread_words(name, parts):
            continue
        # An option for everything, such as building it yourself, says nothing about the layer.
        if found is not None and found.kind != "approach":
            for layer_id in found.layers:
                votes[layer_id] += 1 / len(found.layers)
    words = {plain(word) for word in re.split(r"[^a-zA-Z0-9]+", slug) if word}
    for layer in catalogue.layers:
        if layer.id == slug:
            return layer
        own = {plain(word) for word in re.split(r"[^a-zA-Z0-9]+", f"{layer.id} {layer.title}")}
        votes[layer.id] += 0.75 * len(words & own) / max(1, len(words))
    for layer_id in _said_otherwise(slug):
        if layer_id in votes:
            # What people call the layer decides, once one of the options can fill it.
            fills = any(
                (found := in_layer(name, catalogue.layer(layer_id), catalogue)) is not None
                and layer_id in found.layers
                for name in given
            )
            votes[layer_id] += 0.75 + (0.5 * len(given) if fills else 0.0)
    for layer in catalogue.layers:
        if votes[layer.id]:
            votes[layer.id] += ASKED_SHARE * len(set(asked) & set(layer.capabilities))
    best = max(votes, key=lambda layer_id: votes[layer_id])
    if not votes[best]:
        return dataclasses.replace(
            catalogue.layers[0],
            id="not-in-the-catalogue",
            title=slug,
            decides=f"Not a layer of the catalogue: {slug}.",
            criteria=GENERAL_CRITERIA,
            capabilities=(),
            latency=(),
            tests=(),
        )
    return catalogue.layer(best)


def _said_otherwise(slug: str) -> tuple[str, ...]:
    """Layers that people call so; the last words say what a thing is ("frontend-testing")."""
    if slug in SAID_OTHERWISE:
        return SAID_OTHERWISE[slug]
    words = [word for word in re.split(r"[^a-z0-9]+", slug.lower()) if word]
    tails = ("-".join(words[start:]) for start in range(len(words)))
    return next((SAID_OTHERWISE[tail] for tail in tails if tail in SAID_OTHERWISE), ())


GENERAL_CRITERIA = (
    "stack_fit", "adoption", "operations", "precedent", "familiarity", "openness", "cost",
    "longevity", "assurance",
)  # fmt: skip


# How people call a layer, where no word of its title says it.
SAID_OTHERWISE = {
    "api-framework": ("web-api",),
    "backend": ("web-api",),
    "web framework": ("web-api",),
    "database": ("relational-data",),
    "orm": ("data-access",),
    "messaging": ("cache-queue",),
    "message-broker": ("cache-queue",),
    "event-streaming": ("cache-queue",),
    "ci": ("ci-cd",),
    "cd": ("delivery",),
    "cd-gitops": ("delivery",),
    "deployment": ("delivery",),
    "authz": ("authorization",),
    "authn": ("identity",),
    "authentication": ("identity",),
    "sso": ("identity",),
    "iac": ("infrastructure-as-code",),
    "configuration-management": ("infrastructure-as-code",),
    "policy": ("policy-as-code",),
    "monitoring": ("observability-backend", "telemetry"),
    "logging": ("observability-backend", "log-writing", "telemetry"),
    "metrics": ("observability-backend",),
    "alerting": ("observability-backend",),
    "tracing": ("telemetry",),
    "workflow": ("orchestration",),
    "job-queue": ("cache-queue",),
    "container-platform": ("compute-platform",),
    "container-orchestration": ("compute-platform",),
    "container-registry": ("artifact-registry",),
    "image-registry": ("artifact-registry",),
    "package-registry": ("artifact-registry",),
    "artifact-repository": ("artifact-registry",),
    "mesh": ("service-mesh",),
    "ingress": ("api-gateway",),
    "ingress-controller": ("api-gateway",),
    "reverse-proxy": ("api-gateway",),
    "load-balancer": ("api-gateway",),
    "gateway": ("api-gateway",),
    "networking": ("cluster-network", "api-gateway", "service-mesh"),
    "cni": ("cluster-network",),
    "network-policy": ("cluster-network",),
    "cdn": ("edge-delivery",),
    "dns": ("edge-delivery",),
    "certificates": ("edge-delivery",),
    "tls": ("edge-delivery",),
    "waf": ("edge-delivery",),
    "base-image": ("base-image",),
    "container-image": ("base-image",),
    "migrations": ("schema-migration",),
    "database-migrations": ("schema-migration",),
    "data-access": ("data-access",),
    "persistence": ("data-access", "relational-data"),
    "api-protocol": ("api-style",),
    "api-design": ("api-style",),
    "protocol": ("api-style", "data-format"),
    "serialization": ("data-format",),
    "serialisation": ("data-format",),
    "config-format": ("data-format",),
    "linting": ("code-quality",),
    "linter": ("code-quality",),
    "code-style": ("code-quality",),
    "formatter": ("code-quality",),
    "design-system": ("ui-components",),
    "css": ("ui-components",),
    "styling": ("ui-components",),
    "component-library": ("ui-components",),
    "ui-library": ("ui-components",),
    "state-management": ("client-state",),
    "etl": ("data-pipeline",),
    "data-processing": ("data-pipeline",),
    "stream-processing": ("data-pipeline", "cache-queue"),
    "data-warehouse": ("document-data", "data-pipeline"),
    "architecture": ("architecture-style",),
    "repository-structure": ("repository-layout",),
    "repo-structure": ("repository-layout",),
    "branching": ("branching-model",),
    "version-control": ("source-hosting",),
    "source-control": ("source-hosting",),
    "llm": ("language-models",),
    "llm-provider": ("language-models",),
    "agent-framework": ("language-models", "orchestration"),
    "package-manager": ("build-tool",),
    "testing": ("test-tool", "test-approach"),
    "test-framework": ("test-tool",),
    "kubernetes": ("compute-platform",),
    "hosting": ("hosting", "compute-platform"),
    "security-scanning": ("code-scanning", "dependency-scanning"),
    "dependency-updates": ("dependency-scanning",),
    "provenance": ("signing-provenance",),
    "id": ("identifiers",),
    "ids": ("identifiers",),
    "uuid": ("identifiers",),
    "id-format": ("identifiers",),
    "primary-key": ("identifiers",),
    "versioning": ("version-scheme", "api-versioning"),
    "releases": ("version-scheme", "rollout"),
    "release": ("version-scheme", "rollout"),
    "changelog": ("version-scheme",),
    "commit-messages": ("version-scheme",),
    "pagination": ("list-paging",),
    "error-handling": ("error-format",),
    "errors": ("error-format",),
    "deployment-strategy": ("rollout",),
    "release-strategy": ("rollout",),
    "migration-strategy": ("rollout",),
    "monorepo": ("repository-layout",),
    "code-organisation": ("repository-layout", "architecture-style"),
    "code-organization": ("repository-layout", "architecture-style"),
    "project-structure": ("architecture-style", "repository-layout"),
    "git-workflow": ("branching-model",),
    "branching-strategy": ("branching-model",),
    "merge-strategy": ("branching-model",),
    "session": ("caller-proof",),
    "sessions": ("caller-proof",),
    "session-management": ("caller-proof",),
    "auth": ("identity", "caller-proof", "authorization"),
    "api-auth": ("caller-proof", "identity"),
    "api-authentication": ("caller-proof", "identity"),
    "service-auth": ("caller-proof", "service-mesh"),
    "authentication-method": ("caller-proof", "identity"),
    "credentials": ("caller-proof", "secrets"),
    "passwords": ("password-hashing", "caller-proof"),
    "password": ("password-hashing", "caller-proof"),
    "consistency": ("change-consistency",),
    "transactions": ("change-consistency",),
    "event-delivery": ("change-consistency", "cache-queue"),
    "concurrency": ("change-consistency",),
    "communication": ("api-style", "cache-queue"),
    "integration": ("api-style", "cache-queue", "data-pipeline"),
    "multi-tenancy": ("tenant-isolation",),
    "tenancy": ("tenant-isolation",),
    "tenancy-model": ("tenant-isolation",),
    "cluster-topology": ("tenant-isolation", "compute-platform"),
    "accounts": ("tenant-isolation",),
    "cloud-accounts": ("tenant-isolation",),
    "environments": ("environment-layout", "tenant-isolation"),
    "terraform-state": ("infrastructure-state",),
    "iac-state": ("infrastructure-state",),
    "state-backend": ("infrastructure-state",),
    "multi-region": ("recovery-plan",),
    "disaster-recovery": ("recovery-plan", "backup"),
    "high-availability": ("recovery-plan",),
    "availability": ("recovery-plan",),
    "backups": ("backup", "recovery-plan"),
    "license": ("project-licence",),
    "licence": ("project-licence",),
    "licensing": ("project-licence",),
    "log-format": ("log-writing",),
    "logging-library": ("log-writing",),
    "logging-format": ("log-writing",),
    "device-protocol": ("wire-protocol",),
    "transport": ("wire-protocol", "api-style"),
    "analytics": ("web-analytics", "document-data"),
    "cms": ("content-management",),
    "content": ("content-management",),
    "mobile": ("mobile-app", "frontend"),
    "desktop": ("mobile-app",),
    "app-platform": ("mobile-app", "compute-platform"),
    "test-strategy": ("test-approach", "test-tool"),
    "testing-strategy": ("test-approach", "test-tool"),
    "charts": ("charts-and-maps",),
    "charting": ("charts-and-maps",),
    "visualisation": ("charts-and-maps",),
    "visualization": ("charts-and-maps",),
    "maps": ("charts-and-maps",),
    "mapping": ("charts-and-maps",),
    "i18n": ("browser-library",),
    "forms": ("browser-library",),
    "validation": ("browser-library",),
    "http-client": ("browser-library", "application-library"),
    "config": ("configuration", "data-format"),
    "configuration": ("configuration", "data-format"),
    "vpn": ("network-access",),
    "remote-access": ("network-access",),
    "private-access": ("network-access",),
    "connectivity": ("network-access", "cluster-network"),
    "backup-tool": ("backup",),
    "dev-environment": ("development-environment",),
    "local-development": ("development-environment",),
    "autoscaling": ("cluster-scaling",),
    "scaling": ("cluster-scaling",),
    "runtime-security": ("runtime-security",),
    "threat-detection": ("runtime-security",),
    "adr": ("documentation",),
    "adr-format": ("documentation",),
    "decision-records": ("documentation",),
    "documentation": ("documentation",),
    "docs": ("documentation",),
    "docs-site": ("documentation",),
    "caching": ("cache-queue",),
    "cache": ("cache-queue",),
    "queue": ("cache-queue",),
    "queueing": ("cache-queue",),
    "messaging-protocol": ("wire-protocol", "api-style"),
    "event-bus": ("cache-queue",),
    "background-jobs": ("orchestration", "cache-queue"),
    "scheduling": ("orchestration",),
    "scheduler": ("orchestration",),
    "cron": ("orchestration",),
    "task-queue": ("orchestration", "cache-queue"),
    "saga": ("change-consistency", "orchestration"),
    "code-structure": ("architecture-style",),
    "application-architecture": ("architecture-style",),
    "design-pattern": ("architecture-style",),
    "domain-model": ("architecture-style",),
    "rendering": ("frontend",),
    "frontend-framework": ("frontend",),
    "web-framework": ("web-api",),
    "backend-framework": ("web-api",),
    "static-site": ("frontend", "documentation"),
    "bundler": ("build-tool",),
    "build": ("build-tool",),
    "e2e-testing": ("test-tool",),
    "email": ("notification",),
    "sms": ("notification",),
    "on-call": ("notification",),
    "error-tracking": ("observability-backend",),
    "apm": ("observability-backend", "telemetry"),
    "observability": ("observability-backend", "telemetry"),
    "dashboards": ("observability-backend",),
    "log-shipping": ("telemetry", "observability-backend"),
    "log-collection": ("telemetry", "observability-backend"),
    "instrumentation": ("telemetry",),
    "packaging": ("infrastructure-as-code", "build-tool"),
    "kubernetes-manifests": ("infrastructure-as-code",),
    "kubernetes-packaging": ("infrastructure-as-code",),
    "templating": ("infrastructure-as-code",),
    "provisioning": ("infrastructure-as-code",),
    "image-build": ("build-tool",),
    "image-signing": ("signing-provenance",),
    "signing": ("signing-provenance",),
    "static-analysis": ("code-scanning", "code-quality"),
    "sast": ("code-scanning",),
    "vulnerability-scanning": ("dependency-scanning", "code-scanning"),
    "container-scanning": ("dependency-scanning",),
    "secret-management": ("secrets",),
    "secrets-management": ("secrets",),
    "secrets-in-git": ("secrets",),
    "file-storage": ("object-storage",),
    "blob-storage": ("object-storage",),
    "storage": ("object-storage", "relational-data", "document-data"),
    "nosql": ("document-data",),
    "time-series": ("document-data",),
    "data-store": ("relational-data", "document-data"),
    "datastore": ("relational-data", "document-data"),
    "vector-database": ("vector-search",),
    "vector-store": ("vector-search",),
    "embedding-store": ("vector-search",),
    "container-runtime": ("sandbox-isolation", "compute-platform"),
    "isolation": ("sandbox-isolation", "tenant-isolation"),
    "runtime": ("language-runtime", "compute-platform"),
    "serverless": ("compute-platform", "architecture-style"),
    "kubernetes-distribution": ("compute-platform",),
    "kubernetes-hosting": ("compute-platform",),
    "compute": ("compute-platform",),
    "programming-language": ("language-runtime",),
    "typing": ("code-quality", "language-runtime"),
    "formatting": ("code-quality",),
    "language": ("language-runtime",),
    "api-schema": ("api-style", "data-format"),
    "api-specification": ("api-style", "data-format"),
    "library": ("application-library",),
    "parser": ("application-library", "data-format"),
    "parsing": ("application-library", "data-format"),
    "command-line": ("application-library",),
    "cli": ("application-library",),
    "pdf": ("application-library",),
    "pdf-generation": ("application-library",),
    "spreadsheets": ("application-library",),
    "rest-client": ("application-library", "browser-library"),
    "dependency-injection": ("application-library",),
    "resilience": ("application-library", "service-mesh"),
    "test-runner": ("test-tool",),
    "unit-tests": ("test-tool",),
    "mocking": ("test-tool",),
    "developer-portal": ("documentation",),
    "diagrams": ("documentation",),
    "malware-scanning": ("runtime-security", "code-scanning"),
    "secret-scanning": ("code-scanning",),
    "secret-detection": ("code-scanning",),
    "type-checker": ("code-quality",),
    "type-checking": ("code-quality",),
    "routing": ("web-api", "browser-library"),
    "web/API framework": ("web-api",),
    "identity/authz": ("identity", "authorization"),
    "IaC/policy": ("infrastructure-as-code", "policy-as-code"),
    "CI/CD": ("ci-cd", "delivery"),
    "SBOM/provenance": ("sbom", "signing-provenance"),
    "container/runtime isolation": ("compute-platform",),
    "other": ("compute-platform",),
}
