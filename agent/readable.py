"""Makes what strangers' programs print safe to show to people."""

import re
import unicodedata

# Colours and cursor moves (CSI), titles and links (OSC), the other escapes.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]?")
_KEPT = {"\n", "\t"}


def readable(output: bytes, *, limit: int = 200_000) -> str:
    """`output` as text: the last `limit` characters, without escapes or hidden characters."""
    said = _ESCAPES.sub("", output.decode(errors="replace").replace("\r\n", "\n"))
    # Cc: control; Cf: direction marks and other invisible ones; Co, Cs: private, halves.
    plain = "".join(
        c for c in said if c in _KEPT or unicodedata.category(c) not in {"Cc", "Cf", "Co", "Cs"}
    )
    return plain if len(plain) <= limit else f"[the beginning is left out]\n{plain[-limit:]}"
