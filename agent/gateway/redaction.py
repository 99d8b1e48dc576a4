"""Takes secrets and personal data out of texts, so that they can be put back into the answer."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.high_entropy_strings import (
    Base64HighEntropyString,
    HexHighEntropyString,
)
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.keyword import KeywordDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

SECRET = "SECRET"
EMAIL = "EMAIL"
PHONE = "PHONE"
IBAN = "IBAN"
CARD = "CARD"
PERSON = "PERSON"
CONTROL = "CONTROL"  # what a model's own template means by it: a change of who speaks
HIDDEN = "HIDDEN"  # characters that people do not see

# Where two overlap the earlier one in this list stands, and the longer of one kind.
ORDER = (SECRET, CONTROL, HIDDEN, EMAIL, IBAN, CARD, PHONE, PERSON)

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S
)
_MORE_SECRETS = (
    re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bcs[tdo]_[A-Za-z0-9_-]{20,}"),  # ours
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}"),
    re.compile(r"\bgithub_pat_[A-Za-z0-9_]{20,}"),
    re.compile(r"\bglpat-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\bAIza[A-Za-z0-9_-]{30,}"),
    re.compile(r"\bya29\.[A-Za-z0-9_-]{20,}"),
    re.compile(r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{16,}=*)"),
    re.compile(r"[a-z][a-z0-9+.-]*://[^\s:/@]+:([^\s:/@]+)@"),
    re.compile(
        r"(?i)\b(?:password|passwd|pwd|passphrase|secret|api[_-]?key|access[_-]?key|auth[_-]?token"
        r"|client[_-]?secret)\b[\"']?\s*(?:=|:|=>)\s*[\"']([^\"'\s]{6,})[\"']"
    ),
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_PHONE = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,3}[ .\-/]?(?:\(0?\d{1,4}\)[ .\-/]?)?\d{1,4}(?:[ .\-/]?\d{2,4}){1,5}"
    r"|\(\d{2,5}\)[ .\-/]?\d{3,4}[ .\-/]?\d{3,5}"
    r"|\d{3}[-.]\d{3}[-.]\d{4})(?![\w-]|\.\d)"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}(?: ?[A-Z0-9]{1,4})?\b")
_CARD = re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d){9,15}(?![\w-]|\.\d)")
# Chat templates of the common families; a server that reads them would see another speaker.
_CONTROL = re.compile(
    r"<\|/?[A-Za-z_][A-Za-z0-9_ -]{0,40}\|>|<｜[^｜<>]{1,40}｜>|\[/?INST\]|<</?SYS>>"
    r"|</?s>(?!\w)|<(?:start|end)_of_turn>|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
    r"|<\|(?:im_start|im_end|eot_id)\|?>|\n\n(?:Human|Assistant):"
)
_VISIBLE_CONTROLS = frozenset("\n\t\r")
_ENOUGH = 3  # letters of a name that is looked for


@dataclass(frozen=True)
class Redacted:
    """Texts without what must not leave. found: placeholder to what it stands for."""

    texts: tuple[str, ...]
    found: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many different ones of each kind."""
        counts: dict[str, int] = {}
        for placeholder in self.found:
            kind = kind_of(placeholder)
            counts[kind] = counts.get(kind, 0) + 1
        return counts

    def restored(self, said: str) -> str:
        """`said` with everything put back."""
        if not self.found:
            return said
        known = re.compile("|".join(map(re.escape, sorted(self.found, key=len, reverse=True))))
        return known.sub(lambda match: self.found[match.group(0)], said)

    def placeholders_in(self, said: str) -> list[str]:
        """Placeholders of this redaction in `said`, as often as they stand there."""
        return [one for one in self.found for _ in range(said.count(one))]


def redact(texts: Sequence[str], names: Iterable[str] = ()) -> Redacted:
    """Secrets, addresses, numbers of people and of accounts replaced in all the texts.

    names: of people who may be mentioned, as they are written. The same value has the same
    placeholder everywhere; the same texts and names give the same result. A placeholder is a word
    that occurs in none of the texts, so nothing that was there before can be taken for one.
    """
    stem = "REDACTED"
    while any(stem in text for text in texts):
        stem += "X"
    people = _pattern_of(names)
    numbers: dict[str, int] = {}
    placeholders: dict[tuple[str, str], str] = {}
    done = []
    for text in texts:
        pieces, at = [], 0
        for start, end, kind in _spans(text, people):
            value = text[start:end]
            if (kind, value) not in placeholders:
                numbers[kind] = numbers.get(kind, 0) + 1
                placeholders[kind, value] = f"__{stem}_{kind}_{numbers[kind]}__"
            pieces += [text[at:start], placeholders[kind, value]]
            at = end
        done.append("".join([*pieces, text[at:]]))
    return Redacted(tuple(done), {name: value for (_, value), name in placeholders.items()})


def kind_of(placeholder: str) -> str:
    """Which kind of thing a placeholder stands for."""
    return placeholder.strip("_").split("_")[1]


def is_hidden(character: str) -> bool:
    """Whether people do not see it: zero-width, text direction, tags, variation, other controls."""
    code = ord(character)
    return (
        unicodedata.category(character) in {"Cf", "Co", "Cn"}
        or (unicodedata.category(character) == "Cc" and character not in _VISIBLE_CONTROLS)
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
        or character in "\u2028\u2029\u3164\u115f\u1160\uffa0"
    )


def _spans(text: str, people: re.Pattern[str] | None) -> list[tuple[int, int, str]]:
    """What to take out, from left to right, without overlaps."""
    found = list(_secrets(text))
    found += [(m.start(), m.end(), CONTROL) for m in _CONTROL.finditer(text)]
    found += _hidden(text)
    found += [(m.start(), m.end(), EMAIL) for m in _EMAIL.finditer(text)]
    found += list(_checked(text, _IBAN, IBAN, is_iban))
    found += list(_checked(text, _CARD, CARD, is_card))
    found += list(_checked(text, _PHONE, PHONE, _is_phone))
    if people is not None:
        found += [(m.start(), m.end(), PERSON) for m in people.finditer(text)]
    found.sort(key=lambda span: (ORDER.index(span[2]), span[0] - span[1], span[0]))
    taken: list[tuple[int, int, str]] = []
    for span in found:
        if span[0] < span[1] and all(span[1] <= a or b <= span[0] for a, b, _ in taken):
            taken.append(span)
    return sorted(taken)


def _secrets(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _PRIVATE_KEY.finditer(text):
        yield match.start(), match.end(), SECRET
    for pattern in _MORE_SECRETS:
        for match in pattern.finditer(text):
            yield *match.span(pattern.groups), SECRET
    at = 0
    for line in text.splitlines(keepends=True):
        for secret in {value for detect in _detectors() for value in detect(line)}:
            if len(secret) < 6:
                continue
            for match in re.finditer(re.escape(secret), line):
                yield at + match.start(), at + match.end(), SECRET
        at += len(line)


@cache
def _detectors() -> tuple[Callable[[str], Iterable[str]], ...]:
    plain: list[Any] = [
        made()
        for made in (
            ArtifactoryDetector, AWSKeyDetector, AzureStorageKeyDetector, BasicAuthDetector,
            DiscordBotTokenDetector, GitHubTokenDetector, GitLabTokenDetector, JwtTokenDetector,
            KeywordDetector, MailchimpDetector, NpmDetector, OpenAIDetector, PypiTokenDetector,
            SendGridDetector, SlackDetector, SquareOAuthDetector, StripeDetector,
            TelegramBotTokenDetector, TwilioKeyDetector,
        )
    ]  # fmt: skip
    random: list[Any] = [Base64HighEntropyString(limit=4.5), HexHighEntropyString(limit=3.0)]
    return (
        *(one.analyze_string for one in plain),
        *(
            lambda line, one=one: [
                said
                for said in one.analyze_string(line)
                if one.calculate_shannon_entropy(said) > one.entropy_limit
            ]
            for one in random
        ),
    )


def _hidden(text: str) -> list[tuple[int, int, str]]:
    """Runs of characters that people do not see."""
    found: list[tuple[int, int, str]] = []
    for place, character in enumerate(text):
        if is_hidden(character):
            if found and found[-1][1] == place:
                found[-1] = (found[-1][0], place + 1, HIDDEN)
            else:
                found.append((place, place + 1, HIDDEN))
    return found


def _checked(
    text: str, pattern: re.Pattern[str], kind: str, is_one: Callable[[str], bool]
) -> Iterator[tuple[int, int, str]]:
    for match in pattern.finditer(text):
        if is_one(match.group(0)):
            yield match.start(), match.end(), kind


def is_iban(said: str) -> bool:
    """Whether the two check digits are right (ISO 13616, ISO 7064 mod 97-10)."""
    plain = said.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def is_card(said: str) -> bool:
    """Whether the last digit is right (ISO/IEC 7812-1, Luhn)."""
    digits = [int(character) for character in said if character.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_phone(said: str) -> bool:
    return 8 <= sum(character.isdigit() for character in said) <= 15


def _pattern_of(names: Iterable[str]) -> re.Pattern[str] | None:
    """Whole names, and each part of them, as whole words with their capital letters."""
    parts: set[str] = set()
    for name in names:
        for part in (name.strip(), *name.split()):
            if len(part) >= _ENOUGH and part[:1].isupper():
                parts.add(part)
    if not parts:
        return None
    longest_first = sorted(parts, key=lambda part: (-len(part), part))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
