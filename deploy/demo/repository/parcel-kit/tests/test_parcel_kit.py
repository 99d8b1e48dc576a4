# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except
# in compliance with the License. You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License
# is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express
# or implied. See the License for the specific language governing permissions and limitations.
"""What the functions promise."""

import pytest
from parcel_kit.list_utils import longest_run, partition
from parcel_kit.text_utils import abbreviate, center
from parcel_kit.versions import compare, newest, parsed


def test_a_short_text_stays_as_it_is() -> None:
    assert abbreviate("paper", 10) == "paper"


def test_too_few_characters_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        abbreviate("paper", 3)


def test_the_odd_character_goes_to_the_right() -> None:
    assert center("ab", 5, ".") == ".ab.."


def test_a_list_is_cut_into_parts() -> None:
    assert partition([1, 2, 3, 4], 2) == [[1, 2], [3, 4]]


def test_a_run_is_counted() -> None:
    assert longest_run("aabbbc") == 3


def test_versions_are_numbers() -> None:
    assert parsed("2.14.1") == (2, 14, 1)
    assert newest(["2.9", "2.14", "2.10"]) == "2.14"
    assert compare("1.2", "1.2") == 0
    assert compare("1.3", "1.2") == 1
