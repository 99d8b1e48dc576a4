"""Tiny packages that know nothing of each other."""
