"""Floor 1: what happened, with proof of it."""
