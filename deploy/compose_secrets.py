"""Makes the passwords that compose.yaml hands to its containers as files.

    python3 deploy/compose_secrets.py        once, before the first `docker compose up`

Files that are there already are kept: a database remembers the password it was made with.
"""

import base64
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "var" / "compose"


def make(folder: Path) -> list[str]:
    """Write what is missing, and return the names of the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    # The files are mounted one by one and must be readable inside; out here nobody passes this.
    folder.chmod(0o700)
    written: list[str] = []

    def kept(name: str, text: str) -> str:
        path = folder / name
        if not path.exists():
            path.write_text(text)
            path.chmod(0o444)
            written.append(name)
        return path.read_text()

    kept("superuser_password", secrets.token_urlsafe(32))
    kept("secret_key", secrets.token_urlsafe(48))
    kept("secrets_keys", base64.b64encode(secrets.token_bytes(32)).decode())
    for role, name in (("owner", "database_owner_url"), ("app", "database_url")):
        password = kept(f"{role}_password", secrets.token_urlsafe(32))
        kept(name, f"postgresql://portal_{role}:{password}@postgres:5432/countersign")
    kept("auditor_password", secrets.token_urlsafe(32))
    password = kept("valkey_password", secrets.token_urlsafe(32))
    kept("valkey_settings", f"requirepass {password}\n")
    kept("redis_url", f"redis://:{password}@valkey:6379/0")
    return written


if __name__ == "__main__":
    print(f"{FOLDER}: {', '.join(make(FOLDER)) or 'all there already'}")
    sys.exit(0)
