"""An order and the steps it may take."""

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    DRAFT = "draft"
    PLACED = "placed"
    PACKED = "packed"
    CANCELLED = "cancelled"


MOVES = {
    State.DRAFT: {State.PLACED, State.CANCELLED},
    State.PLACED: {State.PACKED, State.CANCELLED},
    State.PACKED: set(),
    State.CANCELLED: set(),
}


class IllegalMove(Exception):
    """An order cannot go from the state it is in to the one asked for."""


@dataclass(frozen=True)
class Line:
    """Some pieces of one article at one price."""

    article: str
    pieces: int
    unit_cents: int

    def __post_init__(self) -> None:
        if self.pieces < 1 or self.unit_cents < 0:
            raise ValueError(f"{self.article}: {self.pieces} pieces at {self.unit_cents} cents")

    @property
    def cents(self) -> int:
        return self.pieces * self.unit_cents


@dataclass
class Order:
    """What one customer wants."""

    number: str
    customer: str
    lines: list[Line] = field(default_factory=list)
    state: State = State.DRAFT

    def add(self, line: Line) -> None:
        if self.state is not State.DRAFT:
            raise IllegalMove(f"order {self.number} is {self.state}: no more lines")
        self.lines.append(line)

    def move_to(self, new: State) -> None:
        if new not in MOVES[self.state] or (new is State.PLACED and not self.lines):
            raise IllegalMove(f"order {self.number}: {self.state} to {new}")
        self.state = new
