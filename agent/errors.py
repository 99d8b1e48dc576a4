"""What can go wrong while the agent works."""

from authz.errors import Conflict


class IllegalMove(Conflict):
    """A task or proposal cannot go from the state it is in to the one asked for."""


class StaleDigest(Conflict):
    """The person read something else than what is there now."""


class NothingLeftToTry(Exception):
    """The plan cannot be carried out; the message says why. What was done so far is kept."""


class BudgetSpent(Exception):
    """The next step could take more than is left; it was not begun, and what was done is kept."""


class Interrupted(Exception):
    """A step was stopped half-way, because somebody cancelled or the time is over."""


class ExportFault(Exception):
    """A tenant's export cannot be written; the message says why."""


class Busy(Exception):
    """Another worker holds this task right now; try again later."""


class ModelUnavailable(Exception):
    """No language model gave an answer that can be used; the message says why, for people."""
