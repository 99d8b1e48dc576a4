"""Reads a brief in plain words by rules and a dictionary: which constraints it seems to state."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent.recommender.catalogue import GENERIC, Catalogue, Technology
from agent.recommender.constraints import MAXIMUM_ITEM_LENGTH, MAXIMUM_ITEMS

# What in a sentence says that a criterion matters. Word beginnings, in small letters.
CONCERNS: Mapping[str, tuple[str, ...]] = {
    "operations": (
        r"small team", r"little infrastructure", r"maintenance", r"maintain(?:ing)? (?:it|our)",
        r"operational", r"operate\b", r"ops\b", r"simpl", r"easy to", r"ease of", r"easier",
        r"low[- ](?:effort|friction|maintenance)", r"overhead", r"moving parts",
        r"administration effort", r"administrative", r"managed", r"complexity", r"lightweight",
        r"extra service", r"fewer (?:third|services|tools)", r"quick(?:ly)? to", r"self-service",
        r"little time", r"few people", r"no (?:extra )?server", r"without (?:a |any )?server",
        r"serverless", r"no operations", r"no wish to (?:run|operate)", r"quick start",
        r"setup", r"set up", r"minimal config", r"time to market",
        r"delivery speed", r"incidents?\b", r"hassle", r"automat", r"cloud[- ]first",
    ),
    "cost": (
        r"cost", r"budget", r"cheap", r"free of charge", r"free tier", r"\bfree\b", r"price",
        r"pricing", r"paying", r"expens", r"afford", r"licen[cs]e fee", r"subscription",
        r"small audience",
    ),
    "openness": (
        r"lock[- ]?in\b", r"vendor[- ]neutral", r"portab", r"oss\b",
        r"open[- ]source(?! (?:project|communit|contribut|repositor|develop))",
        r"licen[cs]ing", r"vendor[- ]independen", r"cloud[- ]agnostic", r"any backend",
        r"whichever", r"sovereign", r"interoperab", r"open standard", r"multi-cloud",
        r"avoid(?:ing)? (?:a )?depend", r"proprietary", r"fewer third-party",
    ),
    "assurance": (
        r"complian", r"authority to operate", r"certifi(?:ed|cation)", r"regulat",
        r"supply[- ]chain",
        r"security controls", r"accredit", r"fedramp", r"soc ?2", r"iso 27001", r"hipaa",
        r"pci[- ]dss", r"signed", r"provenance",
    ),
    "adoption": (
        r"matur", r"communit", r"popular", r"widely", r"established", r"\bhir(?:e|ing)\b",
        r"talent", r"industry[- ]standard", r"well[- ]known", r"proven", r"battle[- ]tested",
        r"documentation", r"documented", r"de facto", r"tutorials", r"recruit",
        r"common(?:ly)? (?:used|known)", r"known across",
        r"(?:large|rich|plugin) (?:\w+ )?ecosystem",
    ),
    "longevity": (
        r"long[- ]term", r"actively (?:maintained|developed)", r"active development",
        r"longevity", r"future[- ]proof", r"sustainab", r"end of life", r"unmaintained",
        r"support lifetime",
    ),
    "performance": (
        r"latenc", r"performan", r"throughput", r"high[- ]volume", r"\bfast\b", r"faster",
        r"low overhead", r"requests per second", r"milliseconds", r"memory footprint",
    ),
    "familiarity": (
        r"team (?:already )?knows", r"experience", r"familiar", r"expertise", r"know-how",
        r"learning curve", r"already know", r"onboarding", r"skills?\b", r"easy to learn",
        r"new (?:policy )?language",
    ),
    "precedent": (
        r"already (?:us|run|own|in |land|pay|have)", r"in place",
        r"consisten(?:t|cy) (?:with|across)",
        r"sister project", r"other teams", r"organi[sz]ation(?:al)? standard", r"same tool",
        r"one tool", r"reuse", r"align", r"standardi[sz]", r"agency standards", r"existing",
    ),
    "stack_fit": (
        r"integrat", r"works? (?:well )?with", r"must work with", r"compatib", r"on top of",
        r"native", r"fits? (?:in|with)", r"ecosystem", r"plays well", r"source code on",
    ),
}  # fmt: skip
NOT_A_CONCERN = re.compile(
    r"\b(?:not (?:a |an )?(?:concern|important|issue|priority|needed|required)|no longer"
    r"|less important|unimportant|does not matter|do(?:es)? not need|don't need|never mind"
    r"|secondary)\b"
)
# What is weighed as the lesser thing ("features matter more than price").
LESSER = re.compile(r"\b(?:more|rather) than (?!\d|one\b|two\b)[^,.;]*")
HARD = re.compile(r"\b(?:must|only|require[sd]?|mandatory|has to|have to|cannot|can't|never)\b")
AGAINST = re.compile(
    r"\b(?:avoid(?:ing)?|without|instead of|rather than|replac(?:e|ing)|move off|moving off"
    r"|away from|decided against|not use|rule[sd]? out|no more|drop(?:ping)?|ban(?:ned)?"
    r"|migrat(?:e|ing) (?:off|from)|get rid of|other than|no)"
    r"\s+(?:the\s+|our\s+|a\s+|an\s+|any\s+)?$"
)
# What in a sentence says that something which runs already does not satisfy.
COMPLAINT = re.compile(
    r"work-?around|\bincident|\bpoor\b|hard to|difficult|struggl|\black(?:s|ing)?\b|outdated"
    r"|deprecated|end[- ]of[- ]life|unmaintained|no longer (?:maintained|supported|meets|fits)"
    r"|\bslow\b|painful|fragile|\bfork\b|replac(?!eab)|migrat(?:e|ing)\b"
    r"|migration (?:away|off|from|to)\b|revisit|outgrown|unreliable"
    r"|too (?:much|many|slow|long|complex|expensive|hard|limited|manual)"
    r"|cannot|can't|unable|dissatisf|problem|insufficient"
    r"|abandon|maintenance mode|out of support|unsupported|\bfails\b|\bfailing\b|convoluted"
    r"|time-consuming|tak(?:es|ing) (?:up )?(?:much|a lot of) (?:time|work)|(?:bad|poor) experience"
    r"|not enough|missing|limitation|expensive|unstable|frustrat|brittle|duplicat|inconsisten"
    r"|paying twice"
)
CONTENT = re.compile(r"\b(?:happy|satisfied|works well|good experience|keep|stay with|success)\b")
# What is to be avoided has not happened yet.
TO_AVOID = re.compile(r"\b(?:avoid|prevent|rather than|instead of)\w*\b")
KNOWS = re.compile(
    r"\b(?:knows?|experienced?|familiar|skills?|skilled|expertise|background|proficient|written in"
    r"|codebase|developers|engineers|(?:has|have) (?:\w+ )?used)\b"
)
BAD_EXPERIENCE = re.compile(r"\b(?:bad|poor|negative) experience")
UNKNOWN_TO_THEM = re.compile(
    r"\b(?:no|little|limited|without|lacks?) (?:\w+ )?(?:experience|expertise|knowledge|skills?)\b"
    r"|\b(?:do|does|did) not know\b|n't know\b|\bunfamiliar\b"
)
# Names that are also everyday words: only with a capital letter.
EVERYDAY = frozenset(
    re.findall(
        r"[\w-]+",
        """
        go rest make just chef node salt helm dart swift spring express crystal rust ruby flux
        temporal celery vault consul nomad packer falcon tower beam storm spark solid next bun elm
        echo gin fiber chi play phoenix rocket puppet swarm sentry renovate harbor dex hydra permit
        cedar buck conductor windmill concourse drone tilt garden pants mise task lit remix astro
        ember backbone unleash flipt segment sonic lambda functions files actions pipelines queue
        tables search storage batch pulse tempo vector beats buffer notion linear sealed dagger
        server application cloud platform mercury flow camel hub core black atlas exposed
        foundation contour caddy kong goose claude stitch bootstrap relay clippy dapper ecto sequel
        emotion recoil standard quay pulp glue mantine apex carbon haystack distribution cue ent
        sass thrift gerrit diesel peewee prettier swr knex alpine consul tyk calico flannel
        ably ack act agenda amplitude annoy ant aqua architect ark artillery atlantis auto ava axiom
        babel backbone badger barman bats bolt bookshelf borg boundary bower bree brunch buffalo
        cadence capsule carthage carvel cas chalice coder coherence cortex craft curator dash
        databases duo earthly electron eleventy enzyme eureka expo fabric falco fathom feathers
        fission flume galaxy gel ghost gorilla graphite grunt gulp hey hive hyper impala incus
        insomnia invoke iframe iframes img jails karate karma keystone kind lexical lumen luxon
        machinery mage marathon meteor moment moon nebula nova orca panel parallels payload pelican
        piccolo pinpoint plausible plug poem polaris polka pony porter quartz que quill rake realm
        regula revel river roda rush safety sails sam sanity segment semaphore shell shifter shiny
        slate snowplow spock stash stoplight superset swing tape tapir taskfile teleport tide tina
        teams tox typhoon vega victory virtuoso voila volta ward warp waterline wicket wiz yup zend
        """,
    )
)
COMPLIANCE = {
    "ssdf": re.compile(r"\bssdf\b|800-218"),
    "asvs_l2": re.compile(r"\basvs\b"),
    "slsa_l3": re.compile(r"\bslsa\b"),
}
RUN_BY = {
    "nobody": re.compile(
        r"no (?:operations|ops|infrastructure) (?:staff|team|people|work|skills)"
        r"|no wish to (?:run|operate)|(?:do not|don't) want to (?:run|operate|manage)"
    ),
    "small_team": re.compile(r"small team|few people|little time|little infrastructure work"),
    "dedicated_team": re.compile(
        r"dedicated (?:platform |operations |ops |infrastructure )?team|platform (?:team|for many)"
        r"|platform engineers|many (?:service |product |development )?teams|large platform"
        r"|large organi[sz]ation|thousands of|very (?:high|large)|high availability"
        r"|hundreds of millions|horizontal(?:ly)? scal|at scale\b|billions"
    ),
}
REGIONS = {
    "eu": re.compile(
        r"\b(?:in the eu|european union|eu[- ](?:only|region|based|west|central)|gdpr)\b"),
    "uk": re.compile(r"\b(?:london region|in the uk|united kingdom|uk[- ]only)\b"),
    "us": re.compile(r"\b(?:us[- ](?:only|east|west|region)|united states only|fedramp)\b"),
}  # fmt: skip
NUMBERS = (
    ("requests_per_second", re.compile(
        r"([\d][\d.,]*)\s*(k|m)?\s*(?:requests? (?:per|a|/) ?s(?:ec(?:ond)?)?|req/s|rps)\b")),
    ("latency_budget_ms", re.compile(r"([\d][\d.,]*)\s*()(?:ms\b|milliseconds)")),
    ("data_gb", re.compile(r"([\d][\d.,]*)\s*()(?:gb\b|gigabytes)")),
    ("data_gb", re.compile(r"([\d][\d.,]*)\s*(tb\b|terabytes)")),
    ("monthly_budget_usd", re.compile(
        r"(?:\$|usd|dollars)\s?([\d][\d.,]*)\s*(k)?[^.;]{0,12}(?:per|a|/|each) ?month")),
    ("horizon_months", re.compile(r"(?:for|over|next|at least)\s+([\d]+)\s*(years?)\b")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """One constraint that a brief seems to state. field: of Constraints; words: why we think so."""

    field: str
    value: str
    words: str
    sentence: str


def read_brief(text: str, catalogue: Catalogue) -> list[Reading]:
    """What `text` seems to ask for, in the order of the form; a person confirms it.

    Hard constraints (hosting, licences, what is ruled out) are read from sentences with a hard
    word alone ("must", "only"); anything softer becomes a priority. Nothing is invented: each
    reading names the words it rests on.
    """
    found: list[Reading] = []
    concerns: dict[str, list[Reading]] = {}
    for sentence in sentences(text):
        small = sentence.lower()
        found += _settings(sentence, small)
        found += _named(sentence, small, catalogue)
        for criterion, words in concerns_in(small):
            concerns.setdefault(criterion, []).append(
                Reading("priorities", criterion, words, sentence)
            )
    # Most often named first; then in the order of the text.
    ranked = sorted(concerns.values(), key=lambda rows: -len(rows))
    found += [rows[0] for rows in ranked]
    return list({(row.field, row.value): row for row in reversed(found)}.values())[::-1]


def sentences(text: str) -> list[str]:
    """`text` cut into sentences and lines, without marks of a list."""
    cut = re.split(r"(?<=[.!?])\s+|[\n;]+", text)
    return [line for piece in cut if (line := piece.strip(" \t-*•"))]


def concerns_in(small: str) -> Iterator[tuple[str, str]]:
    """Criteria that one sentence (in small letters) says matter, each with the words."""
    if NOT_A_CONCERN.search(small):
        return
    small = LESSER.sub("", small)
    for criterion, pattern in _CONCERN_PATTERNS.items():
        if match := pattern.search(small):
            yield criterion, match.group(0)


def as_fields(readings: Iterable[Reading]) -> dict[str, Any]:
    """The readings as fields of a request, ready for `Constraints.parse`."""
    fields: dict[str, Any] = {}
    for row in readings:
        if row.field in _LISTS:
            values = fields.setdefault(row.field, [])
            if row.value not in values and len(values) < MAXIMUM_ITEMS:
                values.append(row.value[:MAXIMUM_ITEM_LENGTH])
        else:
            fields.setdefault(row.field, row.value)
    return fields


def mentions(text: str, catalogue: Catalogue) -> list[tuple[Technology, int, str]]:
    """Technologies named in `text`: (technology, where, as written), in order."""
    found = []
    for match in _name_pattern(catalogue.spoken).finditer(text):
        written = match.group(0)
        technology = catalogue.find(written)
        if technology is None or technology.id in GENERIC:
            continue
        everyday = written.lower() in EVERYDAY or len(written) <= 2
        if everyday and not written[0].isupper():
            continue
        found.append((technology, match.start(), written))
    return found


_LISTS = (
    "skills", "already_run", "leaving", "must_haves", "must_nots", "priorities", "layers",
    "regions", "compliance",
)  # fmt: skip
_CONCERN_PATTERNS = {
    criterion: re.compile("|".join(rf"(?<![a-z]){word}" for word in words))
    for criterion, words in CONCERNS.items()
}


def _settings(sentence: str, small: str) -> Iterator[Reading]:
    hard = HARD.search(small)
    if match := re.search(r"air[- ]gapped|without internet access|disconnected network", small):
        yield Reading("hosting", "air_gapped", match.group(0), sentence)
    elif hard and (match := re.search(r"self[- ]host\w*|on[- ]prem\w*|own data cent", small)):
        yield Reading("hosting", "self_hosted", match.group(0), sentence)
    elif hard and (match := re.search(r"(?:fully )?managed services? only|only managed", small)):
        yield Reading("hosting", "managed", match.group(0), sentence)
    for who, pattern in RUN_BY.items():
        if match := pattern.search(small):
            yield Reading("run_by", who, match.group(0), sentence)
            break
    if match := re.search(r"permissive(?:ly)? licen[cs]\w*", small):
        yield Reading("licence_policy", "permissive_only", match.group(0), sentence)
    elif hard and (match := re.search(r"open[- ]source|osi[- ]approved", small)):
        yield Reading("licence_policy", "osi_only", match.group(0), sentence)
    for target, pattern in COMPLIANCE.items():
        if match := pattern.search(small):
            yield Reading("compliance", target, match.group(0), sentence)
    for region, pattern in REGIONS.items():
        if match := pattern.search(small):
            yield Reading("regions", region, match.group(0), sentence)
    for field, pattern in NUMBERS:
        if match := pattern.search(small):
            number = float(match.group(1).replace(",", "").rstrip("."))
            number *= {"k": 1e3, "m": 1e6, "tb": 1e3, "terabytes": 1e3}.get(match.group(2), 1)
            number *= 12 if field == "horizon_months" else 1
            yield Reading(field, f"{number:g}", match.group(0), sentence)


def _named(sentence: str, small: str, catalogue: Catalogue) -> Iterator[Reading]:
    hard = HARD.search(small) is not None
    for technology, place, written in mentions(sentence, catalogue):
        if AGAINST.search(small[:place]):
            field = "must_nots" if hard else "leaving"
        elif BAD_EXPERIENCE.search(small):
            field = "leaving"
        elif UNKNOWN_TO_THEM.search(small):
            continue
        elif technology.kind == "language" or KNOWS.search(small):
            field = "skills"
        else:
            field = "already_run"
        yield Reading(field, technology.id, written, sentence)


def complaints(text: str, running: Sequence[Technology], catalogue: Catalogue) -> list[Reading]:
    """Which of what runs already the text is unhappy with, in readings of the field `leaving`.

    A complaint counts for what its sentence names; when it names nothing that runs, for whatever
    runs ("the current one"). A sentence that says it works well, takes nothing from it.
    """
    found = []
    ids = {technology.id for technology in running}
    for sentence in sentences(text):
        small = sentence.lower()
        match = COMPLAINT.search(small)
        if match is None or CONTENT.search(small) or TO_AVOID.search(small[: match.start()]):
            continue
        named = {technology.id for technology, _, _ in mentions(sentence, catalogue)} & ids
        found += [
            Reading("leaving", name, match.group(0), sentence) for name in sorted(named or ids)
        ]
    return found


@lru_cache(maxsize=8)
def _name_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    listed = "|".join(re.escape(name) for name in names)
    return re.compile(rf"(?<![\w.-])(?:{listed})(?![\w+#]|-\w)", re.IGNORECASE)
