"""Verifies evidence packs offline, sharing no code with the portal that makes them."""

__version__ = "0.1.0"
