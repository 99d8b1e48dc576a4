"""Where this process finds the signing keys of logs, if it may sign at all."""

from pathlib import Path

from django.conf import settings
from django.utils.module_loading import import_string

from evidence.signing import FileKeys, KeyFault, Keys


def keys_here() -> Keys:
    """Keys in a PKCS#11 token when KEYS_MODULE names its library, else in files of KEYS_DIR.

    Raises RuntimeError where neither is set: only the evidence worker may sign. Raises KeyFault
    when the token's PIN cannot be read.
    """
    if settings.KEYS_MODULE:
        # By name: its Python package is an extra, which those with files do without.
        in_token = import_string("evidence.pkcs11_keys.TokenKeys")
        found: Keys = in_token(settings.KEYS_MODULE, settings.KEYS_TOKEN, _pin())
        return found
    if settings.KEYS_DIR is None:
        raise RuntimeError(
            "this process has neither KEYS_DIR nor KEYS_MODULE; only the evidence worker may sign"
        )
    return FileKeys(settings.KEYS_DIR)


def _pin() -> str:
    if settings.KEYS_PIN_FILE is None:
        raise KeyFault("KEYS_MODULE needs KEYS_PIN_FILE, a file with the PIN of the token")
    path: Path = settings.KEYS_PIN_FILE
    try:
        mode, pin = path.stat().st_mode, path.read_text().strip()
    except OSError as fault:
        raise KeyFault(f"the PIN of the token cannot be read: {fault}") from fault
    if mode & 0o077:
        raise KeyFault(f"{path} is open to other accounts (mode {mode & 0o777:o}, want 600)")
    return pin
