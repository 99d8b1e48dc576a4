"""The two families of errors: the answer is no; something is wrong with us."""


class Refused(Exception):
    """The answer is no. It is shown to the person; what was recorded of it stays."""


class NoTenant(RuntimeError):
    """Tenant data was touched with no tenant pinned, or with another one pinned: a bug of ours."""


class Unasked(RuntimeError):
    """A request touched rows of a tenant, and nobody had asked whether it may: a bug of ours."""
