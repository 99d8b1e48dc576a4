"""Pages: find, call, show."""
