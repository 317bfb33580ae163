"""What exactly the model reads of an ECG, and the key under which its vector is kept.

Owns text normalisation, the sentence of several findings, and the key. Reports and class wordings
go through the same door, so that equal texts are equal bytes.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecgpipe.config.settings import Language

_SPACES = re.compile(r"\s+")
_FINAL_STOPS = "。．.｡ "
_JAPANESE = ("HIRAGANA", "KATAKANA", "CJK")


def normalise(text: str) -> str:
    """One spelling for equal texts: NFKC, single spaces, no full stop at the end.

    NFKC makes full-width letters and digits half-width and half-width kana full-width. The final
    stop goes because the prompt continues the sentence.
    """
    plain = _SPACES.sub(" ", unicodedata.normalize("NFKC", text)).strip()
    return plain.rstrip(_FINAL_STOPS)


def language_of(text: str) -> Language:
    """Which language a text is written in: Japanese if it has a kana or a kanji, else English."""
    names = (unicodedata.name(letter, "") for letter in normalise(text))
    return "ja" if any(name.startswith(_JAPANESE) for name in names) else "en"


def join_findings(names: Sequence[str], separator: str) -> str:
    """Several findings as one text, in the order given."""
    return separator.join(names)


def fill_prompt(prompt: str, text: str) -> str:
    """The sentence the model reads: `text`, normalised, in the place of {text}."""
    return prompt.replace("{text}", normalise(text))


def key_of(sentence: str) -> bytes:
    """The key of a sentence: SHA-256 of its UTF-8 bytes, 32 bytes."""
    return hashlib.sha256(sentence.encode()).digest()


def keys_of(sentences: Sequence[str]) -> npt.NDArray[np.uint8]:
    """The keys of sentences as (n, 32)."""
    joined = b"".join(map(key_of, sentences))
    return np.frombuffer(joined, np.uint8).reshape(len(sentences), 32)
