"""Inputs made from those of the tests, and what functions answer to them."""

import copy
import enum
import hashlib
import pickle
import random
import re
import sys
import types
from typing import Any

from .clock import ROOT, Clock, OutOfTime

INPUTS = 240  # mutated inputs of each function


def mutated_inputs(
    inputs: dict[tuple[str, str], list[bytes]],
) -> dict[tuple[str, str], list[bytes]]:
    """Those that the tests used and neighbours of them, the same every time."""
    dice = random.Random(20)  # noqa: S311  # the same inputs every time
    made: dict[tuple[str, str], list[bytes]] = {}
    for (path, name), kept in inputs.items():
        all_ = list(kept)
        tries = 0
        share = max(40, INPUTS // max(1, len(inputs)))
        while len(all_) < share + len(kept) and tries < share * 3 and kept:
            tries += 1
            given = pickle.loads(dice.choice(kept))  # noqa: S301  # written by this program
            if not given:
                break
            objects = reachable(given)
            for _ in range(1 + (dice.random() < 0.4)):
                position = dice.randrange(len(given))
                given[position] = changed(given[position], objects, dice)
            try:
                data = pickle.dumps(given)
                pickle.loads(data)  # noqa: S301  # written by this program
            except Exception:  # noqa: BLE001, S112  # things of any class may refuse
                continue
            if data not in all_:
                all_.append(data)
        made[path, name] = all_
    return made


def answer(function: types.FunctionType | None, given: bytes, limit: list[float]) -> list[str]:
    """A digest of what came back and of what became of the arguments, and it as a text."""
    if function is None:
        return ["absent", ""]
    code = function.__code__
    try:
        with Clock(limit):
            arguments = pickle.loads(given)  # noqa: S301  # written by this program
            first = arguments[: code.co_argcount]
            names = code.co_varnames[code.co_argcount :]
            rest = dict(zip(names, arguments[code.co_argcount :], strict=False))
            value = function(*first, **rest)
            if isinstance(value, types.GeneratorType) or type(value).__name__ in LAZY:
                value = [v for v, _ in zip(value, range(300), strict=False)]
            said = f"{type(value).__name__}:{digest(value)}:{digest(arguments)}"
            return [said, repr(value)[:80]]
    except (OutOfTime, MemoryError):
        return ["timeout", ""]
    except Exception as fault:  # noqa: BLE001  # it may raise anything
        return [f"raise {type(fault).__name__}", type(fault).__name__]
    except SystemExit:
        return ["raise SystemExit", "SystemExit"]


LAZY = {"map", "filter", "zip", "reversed", "range", "enumerate", "islice", "chain"}


def digest(value: Any) -> str:
    text = re.sub(r"0x[0-9a-f]+", "", repr(steady(value)))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def steady(value: Any, depth: int = 0) -> Any:
    """Sets in one order, floats rounded, so that equal answers read the same."""
    if depth > 8:
        return type(value).__name__
    if isinstance(value, set | frozenset):
        return ("set", sorted(repr(steady(v, depth + 1)) for v in value))
    if isinstance(value, dict):
        return ("dict", [(steady(k, depth + 1), steady(v, depth + 1)) for k, v in value.items()])
    if isinstance(value, list | tuple):
        return (type(value).__name__, [steady(v, depth + 1) for v in value])
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if is_own(value):
        # Three steps into what objects hold: they may hold each other.
        held = sorted(vars(value).items())[:20]
        return (type(value).__name__, [(name, steady(v, depth + 3)) for name, v in held])
    return value


def short(given: bytes) -> str:
    arguments = pickle.loads(given)  # noqa: S301  # written by this program
    try:
        said = ", ".join(repr(a) for a in arguments)
    except Exception:  # noqa: BLE001  # repr of any class may fail
        said = "…"
    return "(" + (said if len(said) < 200 else said[:199] + "…") + ")"


def reachable(things: list[Any]) -> list[Any]:
    """Objects of the program's own classes among these things and what they hold, at most 60."""
    found: dict[int, Any] = {}
    waiting = list(things)
    for _ in range(600):
        if not waiting or len(found) >= 60:
            break
        thing = waiting.pop(0)
        if isinstance(thing, list | tuple | set | frozenset):
            waiting += list(thing)[:20]
        elif isinstance(thing, dict):
            waiting += [*list(thing)[:20], *list(thing.values())[:20]]
        elif is_own(thing) and id(thing) not in found:
            found[id(thing)] = thing
            waiting += list(vars(thing).values())
    return list(found.values())


def is_own(thing: Any) -> bool:
    return (
        hasattr(thing, "__dict__")
        # A member of an enumeration is the same thing everywhere: what is changed in it stays so.
        and not isinstance(thing, type | types.ModuleType | types.FunctionType | enum.Enum)
        and getattr(sys.modules.get(type(thing).__module__), "__file__", "").startswith(str(ROOT))
    )


def changed(value: Any, objects: list[Any], dice: random.Random) -> Any:
    """Another value for an argument; of objects another one, or what one of them holds."""
    if isinstance(value, enum.Enum):
        return dice.choice(list(type(value)))
    if not is_own(value):
        return mutated(value, dice)
    same = [thing for thing in objects if type(thing) is type(value)]
    if len(same) > 1 and dice.random() < 0.5:
        return dice.choice(same)
    owner = dice.choice(same)
    names = sorted(vars(owner))
    if names:
        name = dice.choice(names)
        held = vars(owner)[name]
        if is_own(held) or held is None:
            vars(owner)[name] = dice.choice([*same, None])
        elif isinstance(held, list) and all(map(is_own, held)):
            vars(owner)[name] = dice.sample(same, dice.randint(0, min(3, len(same))))
        else:
            vars(owner)[name] = mutated(held, dice)
    return value


def mutated(value: Any, dice: random.Random) -> Any:
    """A neighbour of this value, of the same shape and type where there is one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        if value < 0:
            return dice.choice([value + 1, value - 1, -value, 0])
        far = value + dice.randint(-9, 9)
        return dice.choice([value + 1, value - 1, 0, 1, 2, value * 2, -value, far])
    if isinstance(value, float):
        return dice.choice([value + 1, value - 1, 0.0, value * 2, value / 2, -value, value + 0.5])
    if isinstance(value, str):
        if not value:
            return dice.choice(["a", " ", "0", "abc"])
        spot = dice.randrange(len(value))
        other = dice.choice(value)
        return dice.choice(
            [
                value[:spot] + value[spot + 1 :],
                value[:spot] + other + value[spot:],
                value + other,
                value[::-1],
                value[:spot] + other + value[spot + 1 :],
                value.swapcase(),
                value[:spot],
                value + value[:spot],
            ]
        )
    if isinstance(value, list | tuple):
        items = list(value)
        what = dice.randrange(7)
        if not items:
            return type(value)([dice.randint(-3, 9)]) if type(value) in (list, tuple) else value
        spot = dice.randrange(len(items))
        if what == 0:
            del items[spot]
        elif what == 1:
            items.insert(spot, copy.deepcopy(dice.choice(items)))
        elif what == 2:
            dice.shuffle(items)
        elif what == 3:
            items = items[:spot]
        elif what == 4:
            items = items + copy.deepcopy(items[:spot])
        else:
            items[spot] = mutated(items[spot], dice)
        ordered = [v for v in value if isinstance(v, int | float | str)]
        alike = len(ordered) == len(value) > 2 and len({type(v) for v in ordered}) == 1
        if alike and ordered == sorted(ordered):
            # The function may ask for sorted input; what the tests give it is sorted.
            items = sorted(v for v in items if type(v) is type(ordered[0]))
        return tuple(items) if type(value) is tuple else items
    if isinstance(value, dict) and value:
        keys = list(value)
        key = dice.choice(keys)
        new = dict(value)
        if dice.random() < 0.4:
            del new[key]
        else:
            new[key] = mutated(new[key], dice)
        return new
    if isinstance(value, set) and value:
        new_set = set(value)
        new_set.discard(dice.choice(sorted(value, key=repr)))
        return new_set
    return value
