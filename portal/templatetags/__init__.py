"""Template tags: how values are shown to people."""
