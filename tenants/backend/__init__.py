"""PostgreSQL, bound to the pinned tenant: set ENGINE to this package."""
