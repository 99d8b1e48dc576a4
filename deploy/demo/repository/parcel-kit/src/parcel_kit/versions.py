# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except
# in compliance with the License. You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License
# is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express
# or implied. See the License for the specific language governing permissions and limitations.
"""Versions such as 2.14.1, compared as numbers."""


def parsed(version: str) -> tuple[int, ...]:
    """The numbers of a version; a tag's leading v does not count."""
    return tuple(int(part) for part in version.rstrip("v").split("."))


def compare(first: str, second: str) -> int:
    """-1 when the first is older, 1 when it is newer, 0 when they are the same."""
    left, right = parsed(first), parsed(second)
    return (left > right) + (left < right)


def newest(versions: list[str]) -> str:
    """The newest of some versions."""
    return max(versions, key=parsed)
