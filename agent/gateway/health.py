"""Leaves a provider alone that has failed, and lets one question through to see if it is back."""

from datetime import timedelta

from django.db.models import F, Q
from django.utils import timezone

from agent.models import ModelProvider

FAILURES = 3  # in a row, before nobody asks any more
FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=10)
PROBE = timedelta(seconds=180)  # how long the one that tries has; longer than any question


def admits(provider: ModelProvider) -> bool:
    """Whether it may be asked now. After a rest one caller gets a yes, and the others wait."""
    known = ModelProvider.objects.filter(pk=provider.pk)
    now = timezone.now()
    if known.filter(open_until=None).exists():
        return True
    rested = Q(open_until__lte=now) & (Q(probed_until=None) | Q(probed_until__lte=now))
    # One statement, so that of two who look at once one gets it.
    return bool(known.filter(rested).update(probed_until=now + PROBE))


def succeeded(provider: ModelProvider) -> None:
    """It answers."""
    changed = Q(failures__gt=0) | ~Q(open_until=None)
    ModelProvider.objects.filter(changed, pk=provider.pk).update(
        failures=0, open_until=None, probed_until=None, problem=""
    )


def failed(provider: ModelProvider, problem: str) -> None:
    """It does not answer as it should; from the third time on it rests, longer each time."""
    known = ModelProvider.objects.filter(pk=provider.pk)
    known.update(failures=F("failures") + 1, problem=problem[:500], probed_until=None)
    failures = known.values_list("failures", flat=True).first() or 0
    if failures >= FAILURES:
        rest = min(LONGEST_REST, FIRST_REST * 2 ** min(failures - FAILURES, 10))
        known.update(open_until=timezone.now() + rest)
