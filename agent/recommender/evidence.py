"""The first step: which options stand in each layer, and what is known about them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from typing import Any

from agent.recommender.brief import NOT_A_CONCERN, sentences
from agent.recommender.catalogue import Catalogue, CatalogueChanged, Layer, Technology
from agent.recommender.constraints import Constraints

# Looked at for every option, beside the layer's own capabilities and latency figures.
COMMON = (
    "license",
    "latest_version",
    "latest_release_date",
    "latest_cycle_eol",
    "supported_cycles",
    "median_support_months",
    "hosting.self_hosted",
    "hosting.managed",
    "hosting.air_gapped",
    "assurance.signed_releases",
    "assurance.sbom_published",
    "assurance.provenance",
    "compliance.soc2_report",
    "advisories_2022_10_to_2024_10",
    "cncf_maturity",
    "tw_radar_ring",
    "pypi_download_rank",
    "npm_downloads_per_month",
    "managed_price_per_hour",
    "size_vcpu",
    "size_ram_gb",
    "size_copies",
    "operations_burden",
    "lock_in",
    "cost_level",
    "standing",
    "name",
    "languages",
    "skills",
    "companions",
    "requires",
)


def retrieve(
    constraints: Constraints,
    catalogue: Catalogue,
    today: dt.date,
    *,
    only: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Collect the evidence for a request.

    only: ids of the options to look at, in the one layer of the request, whether or not the
    catalogue lists them there; None for all that it lists.

    Returns, ready for JSON:
      step "evidence"; catalogue: digest; today: ISO date;
      asked_for: [{capability, words}] read from the free text;
      unrecognised: names in already_run that the catalogue does not know;
      layers: {layer id: {options: [{technology, facts: [id of each known fact],
        due: [ids to refresh], stale: [ids never counted], unknown: [ids without a value]}]}}.
    """
    written = (*constraints.already_run, *constraints.must_haves)
    named = {found.id for name in written if (found := catalogue.find(name)) is not None}
    return {
        "step": "evidence",
        "catalogue": catalogue.digest,
        "today": today.isoformat(),
        "asked_for": asked_for(constraints, catalogue),
        "unrecognised": [name for name in constraints.already_run if catalogue.find(name) is None],
        "layers": {
            layer.id: {
                "options": _options(
                    layer,
                    catalogue.options(layer.id, named)
                    if only is None
                    else [catalogue.technologies[name] for name in only],
                    today,
                )
            }
            for layer in layers_in_scope(constraints, catalogue)
        },
    }


def layers_in_scope(constraints: Constraints, catalogue: Catalogue) -> list[Layer]:
    """The layers the request asks about, in the catalogue's order; the usual ones when none."""
    return [
        layer
        for layer in catalogue.layers
        if (layer.id in constraints.layers if constraints.layers else layer.by_default)
    ]


def asked_for(constraints: Constraints, catalogue: Catalogue) -> list[dict[str, Any]]:
    """Capabilities that the request's own words ask for, each with the words that did."""
    said = sentences(f"{constraints.title}\n{constraints.building}".lower())
    # "No longer needs signing" does not ask for it.
    kept = [sentence for sentence in said if not NOT_A_CONCERN.search(sentence)]
    text = "\n".join(kept)
    text += " " + " ".join(target.replace("_", " ") for target in constraints.compliance)
    found = []
    for capability in catalogue.capabilities.values():
        words = [
            word
            for word in capability.words
            # The pattern is only made for the few words that are there at all.
            if word in text and re.search(rf"\b{re.escape(word)}", text)
        ]
        if words:
            found.append({"capability": capability.id, "words": words})
    return found


def check_same_catalogue(step: dict[str, Any], catalogue: Catalogue) -> None:
    """Raise CatalogueChanged unless `step` was made with this very catalogue."""
    if step["catalogue"] != catalogue.digest:
        raise CatalogueChanged(
            f"step {step['step']} was made with catalogue {step['catalogue'][:12]}, "
            f"now {catalogue.digest[:12]}"
        )


def _options(
    layer: Layer, technologies: Iterable[Technology], today: dt.date
) -> list[dict[str, Any]]:
    wanted = (
        *COMMON,
        *layer.latency,
        *(f"capability.{capability}" for capability in layer.capabilities),
    )
    options = []
    for technology in technologies:
        facts = [technology.facts[name] for name in wanted if name in technology.facts]
        known = [fact for fact in facts if fact.state == "known"]
        options.append(
            {
                "technology": technology.id,
                "facts": [fact.id for fact in known],
                "due": [fact.id for fact in known if fact.is_due(today)],
                "stale": [fact.id for fact in known if fact.is_stale(today)],
                "unknown": [fact.id for fact in facts if fact.state in ("unknown", "unreachable")],
            }
        )
    return options
