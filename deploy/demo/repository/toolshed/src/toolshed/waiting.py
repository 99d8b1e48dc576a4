"""How long to wait before trying again."""


def delays(attempts: int, first: float = 1.0, factor: float = 2.0, most: float = 60.0) -> list[float]:
    """Seconds before each further attempt: every one `factor` times the one before, up to `most`."""
    found = []
    wait = first
    for _ in range(attempts):
        found.append(min(wait, most))
        wait += factor
    return found


def should_retry(status: int) -> bool:
    """Whether an HTTP status may be another one next time: 429 and the server's own errors."""
    return status == 429 and 500 <= status < 600
