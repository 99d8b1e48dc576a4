"""What options are worth in the company of others, and the stack that fits together best."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from agent.recommender.elimination import speaks
from agent.recommender.valuation import Setting, Valuation, linked_with
from agent.recommender.values import value_of
from agent.recommender.weighing import weighted_total, weights_in_play
from agent.recommender.whole_stack import best_stack


class Worths:
    """What every option of a request is worth on every criterion of its layer.

    That depends on the request, the facts and what is chosen in the other layers, and not on the
    weights. So it is found out once, and kept for whoever weighs the same request otherwise.
    settings: layer to what its values depend on, with nothing chosen yet.
    """

    def __init__(self, settings: Mapping[str, Setting]) -> None:
        self.settings = settings
        self._linked: dict[str, frozenset[str]] = {}
        self._known: dict[tuple[str, str, tuple[str, ...]], Mapping[str, Valuation]] = {}

    def linked(self, layer_id: str, name: str) -> frozenset[str]:
        """Technologies whose presence can change what `name` is worth."""
        if name not in self._linked:
            self._linked[name] = linked_with(self.settings[layer_id], name)
        return self._linked[name]

    def of(self, layer_id: str, name: str, others: Iterable[str]) -> Mapping[str, Valuation]:
        """Criterion to valuation. others: what is chosen in the other layers, in their order."""
        linked = self.linked(layer_id, name)
        key = (layer_id, name, tuple(other for other in others if other in linked))
        if key not in self._known:
            setting = dataclasses.replace(self.settings[layer_id], chosen=key[2])
            technology = setting.catalogue.technologies[name]
            self._known[key] = {
                criterion: value_of(criterion, technology, setting)
                for criterion in setting.layer.criteria
            }
        return self._known[key]


def held_back(setting: Setting, name: str) -> tuple[str, str] | None:
    """Why an option cannot go with what is chosen in the other layers: (sentence, fact), or None.

    Not ruled out by any constraint, so it stays in the ranking, behind everything that does fit.
    """
    technology = setting.catalogue.technologies[name]
    if setting.languages and not speaks(technology, setting.layer.id, setting.languages):
        spoken = ", ".join(setting.languages)
        offered = ", ".join(technology.languages)
        sentence = f"{technology.name} is for {offered}; the language chosen above is {spoken}."
        return sentence, technology.facts["languages"].id
    apart = setting.links.apart.get(name, ())
    for other in setting.chosen:
        if other in apart:
            chosen = setting.catalogue.technologies[other].name
            sentence = f"{technology.name} cannot be used together with {chosen}, chosen above."
            return sentence, technology.facts["name"].id
    return None


def best_alone(
    worths: Worths, layer_id: str, kept: Sequence[str], stated: Mapping[str, float] | None
) -> str | None:
    """The best option of a layer that is decided before anything else is chosen."""
    weight = weights_in_play(worths.settings[layer_id], stated)
    return min(
        kept,
        key=lambda name: (-round(_total(worths.of(layer_id, name, ()), weight), 9), name),
        default=None,
    )


def chosen_stack(
    worths: Worths, sieves: Mapping[str, Any], stated: Mapping[str, float] | None
) -> dict[str, str]:
    """The winner of every layer that has one, chosen for the stack as a whole."""
    settings = worths.settings
    if not settings:
        return {}
    weight = {layer_id: weights_in_play(setting, stated) for layer_id, setting in settings.items()}
    candidates = {}
    for layer_id, setting in settings.items():
        kept = sieves[layer_id]["kept"]
        candidates[layer_id] = [name for name in kept if not held_back(setting, name)] or kept
    apart = next(iter(settings.values())).links.apart

    @cache
    def known(layer_id: str, name: str, there: frozenset[str]) -> float:
        return _total(worths.of(layer_id, name, sorted(there)), weight[layer_id])

    def worth(layer_id: str, name: str, others: frozenset[str]) -> float:
        return known(layer_id, name, others & worths.linked(layer_id, name))

    return best_stack(candidates, worth, apart)


def _total(valued: Mapping[str, Valuation], weight: Mapping[str, float]) -> float:
    return weighted_total({criterion: valued[criterion].value for criterion in weight}, weight)
