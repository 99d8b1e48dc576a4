"""Makes what a job wrote fit to be kept and shown: bounded, UTF-8, and it hides nothing."""

import re
import unicodedata

# Escape sequences of terminals: CSI (colours, cursor), OSC and its kin (titles, links, clipboard),
# the rest of two bytes. An OSC that never ends is taken to the end of its line.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|(?=\n)|$)"
    r"|\x1b[ -/]*[0-~]?"
)
_KEPT_CONTROLS = frozenset("\n\t")
# Control, format (bidirectional marks, zero width), surrogate, private, line separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_CUT = "\n[... {} bytes left out ...]\n"


def cleaned(output: bytes, limit: int = 200_000) -> str:
    """Text without escape sequences, control and invisible characters.

    limit: bytes that are kept; of more, the first and last half, with a line in between that says
    how many are missing. What is not UTF-8 becomes U+FFFD. The text is not escaped for HTML.
    """
    if len(output) <= limit:
        return _plain(output)
    half = limit // 2
    head, tail = output[:half], output[len(output) - half :]
    return _plain(head) + _CUT.format(len(output) - 2 * half) + _plain(tail)


def _plain(output: bytes) -> str:
    text = output.decode(errors="replace").replace("\r\n", "\n")
    text = _ESCAPES.sub("", text).replace("\r", "\n")
    return "".join(
        character
        for character in text
        if character in _KEPT_CONTROLS or unicodedata.category(character) not in _UNSEEN
    )
