"""Splits bills at the counter."""
