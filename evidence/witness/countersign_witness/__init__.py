"""A witness of transparency logs: cosigns a head only when it continues the last one it saw."""
