"""How much each criterion counts: from an order of importance, or as the request states it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.recommender.catalogue import Layer
from agent.recommender.valuation import Setting
from agent.recommender.values import fears_new_things

# Latest place in every layer's own order. What it does comes first; what others run (popularity,
# maturity and community, one criterion) is the best single sign of what a team will choose.
PROMOTED = {"features": 0, "adoption": 1}
SEVERAL = 2  # capabilities of the layer that the words ask for, which put features first
RARELY_DECISIVE = "performance"  # last, unless the request says otherwise


def rank_order_centroid(count: int) -> list[float]:
    """Weights of `count` ranked criteria, most important first; they sum to 1.

    Source: Barron and Barrett, "Decision quality using ranked attribute weights", 1996.
    """
    return [
        sum(1 / later for later in range(rank, count + 1)) / count for rank in range(1, count + 1)
    ]


def rank_sum(count: int) -> list[float]:
    """Weights of `count` ranked criteria that fall in equal steps; they sum to 1.

    Flatter than the centroid, for an order that is itself a guess. Source: Stillwell, Seaver and
    Edwards, "A comparison of weight approximation techniques", 1981.
    """
    whole = count * (count + 1) / 2
    return [(count - rank) / whole for rank in range(count)]


def weights(layer: Layer, priorities: Sequence[str]) -> dict[str, float]:
    """Weight per criterion of the layer: the request's ranking first, then the layer's own.

    Half centroid, half rank sum: what comes first matters most, and nothing is as good as gone.
    """
    wanted = [criterion for criterion in priorities if criterion in layer.criteria]
    own = [criterion for criterion in layer.criteria if criterion != RARELY_DECISIVE]
    for criterion, place in PROMOTED.items():
        if criterion in own[place + 1 :]:
            own.remove(criterion)
            own.insert(place, criterion)
    order = list(dict.fromkeys([*wanted, *own, *layer.criteria]))
    pairs = zip(rank_order_centroid(len(order)), rank_sum(len(order)), strict=True)
    return dict(zip(order, ((one + other) / 2 for one, other in pairs), strict=True))


def weights_in_play(
    setting: Setting, stated: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Weights of the layer's criteria that the request gives something to judge by; sum 1.

    A criterion that rests on the request alone (familiarity, precedent) and was not asked for
    says nothing about any option, so its weight goes to the others.
    """
    layer, constraints = setting.layer, setting.constraints
    silent = set()
    if not constraints.skills and not fears_new_things(setting):
        silent.add("familiarity")
    if not constraints.already_run and not constraints.leaving and not setting.catalogue.standards:
        silent.add("precedent")
    silent |= setting.without
    if stated is not None:
        found = {key: max(0.0, float(stated.get(key, 0.0))) for key in layer.criteria}
    else:
        priorities = list(constraints.priorities)
        if constraints.run_by in ("nobody", "small_team") and "operations" not in priorities:
            # Who has nobody to run it has said what matters.
            priorities.insert(0 if constraints.run_by == "nobody" else 1, "operations")
        if len(setting.asked & set(layer.capabilities)) >= SEVERAL:
            # Who names several things it has to do has said what it is chosen by.
            priorities.insert(0, "features")
        if _fills(layer, setting.named.skills, setting) and "familiarity" not in priorities:
            # Who names an option as known has said more than which languages are spoken.
            priorities.insert(1, "familiarity")
        if _fills(layer, setting.named.leaving, setting):
            # Who wants to be rid of what fills the layer has said what it must not be.
            priorities.insert(1, "precedent")
        found = weights(layer, priorities)
    found = {key: 0.0 if key in silent else share for key, share in found.items()}
    total = sum(found.values())
    if not total:
        return weights(layer, constraints.priorities)
    return {key: share / total for key, share in found.items()}


def _fills(layer: Layer, names: Iterable[str], setting: Setting) -> bool:
    """Whether one of these technologies is an option of the layer."""
    found = (setting.catalogue.technologies.get(name) for name in names)
    return any(layer.id in each.layers for each in found if each is not None)


def weighted_total(value_by_criterion: Mapping[str, float], weight: Mapping[str, float]) -> float:
    """Additive value, between 0 and 1 when the weights sum to 1."""
    return sum(weight[criterion] * value_by_criterion[criterion] for criterion in weight)


def tipping_weight(
    first: Mapping[str, float],
    second: Mapping[str, float],
    weight: Mapping[str, float],
    criterion: str,
) -> float | None:
    """Weight of `criterion` at which `second` draws level with `first`, or None.

    All other weights keep their proportions. With d the difference on the criterion and r the
    difference on the rest, both at full weight: w d + (1 - w) r = 0, so w = r / (r - d).
    """
    here = weight[criterion]
    if here >= 1:
        return None
    difference = first[criterion] - second[criterion]
    rest = (sum(weight[key] * (first[key] - second[key]) for key in weight if key != criterion)) / (
        1 - here
    )
    if rest == difference:
        return None
    level = rest / (rest - difference)
    return level if 0 <= level <= 1 else None
