"""What two families of model servers are sent over HTTP, and how their answers are read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OPENAI, COMPATIBLE, ANTHROPIC = "openai", "compatible", "anthropic"
ANTHROPIC_VERSION = "2023-06-01"  # https://docs.anthropic.com/en/api/versioning


class NotUnderstood(Exception):
    """The answer is none that the protocol describes."""


@dataclass(frozen=True)
class Prompt:
    """All that one question consists of. turns: what was said so far, ours first, then theirs."""

    system: str
    turns: tuple[str, ...]
    schema: Mapping[str, Any]
    most_out: int  # tokens

    @property
    def size(self) -> int:
        """Bytes of UTF-8, which no tokenizer makes more tokens of than there are."""
        texts = (self.system, *self.turns, json.dumps(self.schema))
        return sum(len(text.encode()) for text in texts)


@dataclass(frozen=True)
class Said:
    """What a model said. tokens_in, tokens_out: None where the server does not say.

    is_cut: it stopped because there was no more room. tools: names of the tools it wanted called.
    """

    text: str
    tokens_in: int | None
    tokens_out: int | None
    is_cut: bool = False
    tools: tuple[str, ...] = ()
    refused: bool = False


def request_of(
    protocol: str, address: str, key: str, model: str, prompt: Prompt
) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Where to send it, with which headers, which JSON."""
    address = address.rstrip("/")
    if protocol == ANTHROPIC:
        return (
            f"{address}/messages",
            {"x-api-key": key, "anthropic-version": ANTHROPIC_VERSION},
            {
                "model": model,
                "max_tokens": prompt.most_out,
                "system": prompt.system,
                "messages": _turns(prompt),
            },
        )
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "system", "content": prompt.system}, *_turns(prompt)],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": dict(prompt.schema)},
        },
    }
    if protocol == OPENAI:
        # OpenAI's reasoning models refuse both max_tokens and a temperature.
        body["max_completion_tokens"] = prompt.most_out
    else:
        body |= {"max_tokens": prompt.most_out, "temperature": 0}
    return f"{address}/chat/completions", {"Authorization": f"Bearer {key}"} if key else {}, body


def answer_of(protocol: str, document: Any) -> Said:
    """Read an answer. Raises NotUnderstood."""
    try:
        return _anthropic(document) if protocol == ANTHROPIC else _openai(document)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as strange:
        raise NotUnderstood("the answer is none that the protocol describes") from strange


def fault_in(document: Any) -> str:
    """What an error document says, cut short; empty when it says nothing."""
    match document:
        case {"error": {"message": str(said)}} | {"error": str(said)} | {"message": str(said)}:
            return " ".join(said.split())[:200]
    return ""


def _turns(prompt: Prompt) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": said} for n, said in enumerate(prompt.turns)]


def _openai(document: Any) -> Said:
    choice = document["choices"][0]
    message = choice["message"]
    calls = message.get("tool_calls") or []
    names = [str((call.get("function") or {}).get("name", "")) for call in calls]
    if old := message.get("function_call"):
        names.append(str(old.get("name", "")))
    text = message.get("content") or ""
    if not isinstance(text, str):
        raise TypeError("content is no text")
    usage = document.get("usage") or {}
    return Said(
        text,
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        is_cut=choice.get("finish_reason") == "length",
        tools=tuple(names),
        refused=bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter",
    )


def _anthropic(document: Any) -> Said:
    blocks = document["content"]
    usage = document.get("usage") or {}
    # What the server had read before is counted apart there, and costs at most as much.
    read = [
        _count(usage.get(name, 0))
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    ]
    known = "input_tokens" in usage and None not in read
    return Said(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        sum(count or 0 for count in read) if known else None,
        _count(usage.get("output_tokens")),
        is_cut=document.get("stop_reason") == "max_tokens",
        tools=tuple(str(block.get("name", "")) for block in blocks if "tool_use" in block["type"]),
        refused=document.get("stop_reason") == "refusal",
    )


def _count(said: Any) -> int | None:
    if isinstance(said, bool) or not isinstance(said, int) or not 0 <= said < 2**31:
        return None
    return said
