"""Who are you? Protocols in, a signed-in member out."""
