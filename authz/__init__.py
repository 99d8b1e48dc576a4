"""Floor 2: who may do what; the one way to change data."""
