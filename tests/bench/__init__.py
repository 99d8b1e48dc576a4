"""Measurements of what the product promises; nothing here passes or fails."""
