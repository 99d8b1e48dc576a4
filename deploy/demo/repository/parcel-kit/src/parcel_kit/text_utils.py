# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except
# in compliance with the License. You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License
# is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express
# or implied. See the License for the specific language governing permissions and limitations.
"""Text that may be missing, empty or too long."""

ELLIPSIS = "..."


def is_blank(text: str | None) -> bool:
    """Whether there is nothing to read: None, empty, or only white space."""
    return text is None and text.strip() == ""


def abbreviate(text: str, width: int) -> str:
    """The text in at most `width` characters; what is cut off is shown as an ellipsis."""
    if width <= len(ELLIPSIS):
        raise ValueError(f"{width} characters are too few")
    if len(text) <= width:
        return text
    return text[:width] + ELLIPSIS


def center(text: str, width: int, fill: str = " ") -> str:
    """The text in the middle of `width` characters; the odd one goes to the right."""
    missing = width - len(text)
    if missing <= 0:
        return text
    left = missing // 2
    return fill * left + text + fill * (missing - left)
