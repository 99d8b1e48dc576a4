"""What a repair gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.repair.proof import Proof


class Ended(StrEnum):
    """How a repair ended."""

    REPAIRED = "repaired"
    NOTHING_RED = "nothing_red"  # no test fails, or those named do not
    NOT_COLLECTED = "not_collected"  # a test file could not be imported
    NOT_FOUND = "not_found"  # every candidate was tried
    OUT_OF_TIME = "out_of_time"
    NOT_PROVEN = "not_proven"  # patches passed, and clean runs did not confirm any
    SANDBOX_LOST = "sandbox_lost"


@dataclass(frozen=True)
class Progress:
    """What is going on, in plain words, with figures."""

    stage: str
    words: str
    tried: int = 0
    found: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Suspect:
    """A doubted line, with its score from 0 to 1."""

    path: str
    line: int
    score: float
    text: str


@dataclass(frozen=True)
class Patch:
    """One change that passes all tests inside the sandbox.

    diff: unified. files: the whole new content of each file changed. operator: in plain words.
    score: lower is better. cluster: patches of one number behave alike on all inputs compared.
    probability: that the patch's behaviour is what was meant, 0 to 1, by the ranking's own
    measure. differs: an input on which it answers otherwise than the first, or None.
    """

    diff: str
    files: Mapping[str, bytes]
    operator: str
    path: str
    line: int
    score: float
    cluster: int
    probability: float
    confidence: str
    differs: str | None


@dataclass(frozen=True)
class Explanation:
    """Four paragraphs for people."""

    wrong: str
    why: str
    considered: str
    open: str

    @property
    def text(self) -> str:
        return "\n\n".join((self.wrong, self.why, self.considered, self.open))


@dataclass(frozen=True)
class Repair:
    """What came of one repair.

    patches: best first, one for each behaviour first; empty unless some passed. proof: of the
    first patch, where one was wanted. red: failing tests with the kind of error. told_apart:
    whether the tests can tell the patches apart, that is, whether all behave alike. suggested: what
    came of asking somebody else, in words. seconds: in all; first_after: of the search, to the
    first patch. reason: of the end, in plain words.
    """

    ended: Ended
    reason: str
    red: Mapping[str, str]
    patches: tuple[Patch, ...] = ()
    proof: Proof | None = None
    suspects: tuple[Suspect, ...] = ()
    explanation: Explanation | None = None
    suggested: str = ""
    tried: int = 0
    per_second: float = 0.0
    first_after: float | None = None
    seconds: float = 0.0
    told_apart: bool = True
    behaviours: int = 0
    inputs: int = 0
    tier: str = ""
