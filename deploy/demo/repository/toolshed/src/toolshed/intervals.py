"""Half-open intervals: the start belongs to them, the end does not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """From start up to, and without, end."""

    start: int
    end: int

    def overlaps(self, other: "Interval") -> bool:
        """Whether some number lies in both."""
        return max(self.start, other.start) <= min(self.end, other.end)

    def __contains__(self, number: int) -> bool:
        return self.start <= number < self.end


def total_length(intervals: list[Interval]) -> int:
    """How many numbers lie in at least one of them."""
    covered = 0
    reached = None
    for interval in sorted(intervals, key=lambda one: one.start):
        start = interval.start if reached is None else max(reached, interval.start)
        if interval.end > start:
            covered += interval.end - start
            reached = interval.end
    return covered
