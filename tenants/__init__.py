"""Floor 0: whose data this is."""
