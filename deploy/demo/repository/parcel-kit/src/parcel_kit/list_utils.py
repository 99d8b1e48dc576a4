# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except
# in compliance with the License. You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License
# is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express
# or implied. See the License for the specific language governing permissions and limitations.
"""Lists cut into parts and put together."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def partition(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Parts of `size` items each, in their order; the last may be shorter."""
    if size < 1:
        raise ValueError(f"parts of {size} items")
    return [list(items[start : start + size]) for start in range(0, len(items) - 1, size)]


def merged(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    """Both together, sums where both have a name; neither is changed."""
    together = dict(first)
    for name, count in second.items():
        together[name] = together.get(name, 0) + count
    return first


def longest_run(items: Sequence[Item]) -> int:
    """How often the same item stands in a row at most."""
    best = run = 0
    for place, item in enumerate(items):
        run = run + 1 if place and items[place - 1] == item else 1
        best = max(best, run)
    return best
