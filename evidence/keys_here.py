"""Where this process finds the signing keys of logs, if it may sign at all."""

from pathlib import Path

from django.conf import settings
from django.utils.module_loading import import_string

from evidence.signing import FileKeys, KeyFault, Keys


class NoKeysHere(RuntimeError):
    """This process may not sign; only the evidence worker may."""


def keys_here() -> Keys:
    """Keys in a PKCS#11 token when KEYS_MODULE names its library, in AWS KMS when KEYS_AWS_REGION
    names a region, else in files of KEYS_DIR.

    Raises NoKeysHere where none is set. Raises KeyFault when the token's PIN cannot be read, or
    when both token and region are named.
    """
    if settings.KEYS_MODULE and settings.KEYS_AWS_REGION:
        raise KeyFault("KEYS_MODULE and KEYS_AWS_REGION are both set; keys are in one place only")
    found: Keys
    # By name: their Python packages are extras, which those with files do without.
    if settings.KEYS_MODULE:
        in_token = import_string("evidence.pkcs11_keys.TokenKeys")
        found = in_token(settings.KEYS_MODULE, settings.KEYS_TOKEN, _pin())
    elif settings.KEYS_AWS_REGION:
        in_cloud = import_string("evidence.aws_kms_keys.AwsKmsKeys")
        found = in_cloud(settings.KEYS_AWS_REGION, settings.KEYS_AWS_ENDPOINT)
    elif settings.KEYS_DIR is not None:
        found = FileKeys(settings.KEYS_DIR)
    else:
        raise NoKeysHere(
            "this process has none of KEYS_DIR, KEYS_MODULE and KEYS_AWS_REGION; only the evidence "
            "worker may sign"
        )
    return found


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
