"""The fixed words of the report, in Japanese and English.

Owns how they are read; they are in words.yaml. The words of one analysis are in its module.
"""

import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import yaml

from ecgpipe.language.translation import told

Words = Mapping[str, str]

LANGUAGES = ("ja", "en")


@functools.cache
def all_words() -> Mapping[str, Any]:
    """Everything in words.yaml, by block."""
    file = resources.files("ecgpipe.evaluate") / "words.yaml"
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


def word(block: str, key: str, **parts: Any) -> Words:
    """One entry in both languages.

    `parts` fill the {braces}: text as it is, or words in both languages.
    """
    entry = all_words()[block][key]
    return {
        language: entry[language].format(
            **{
                name: part[language] if isinstance(part, Mapping) else part
                for name, part in parts.items()
            }
        )
        if parts
        else entry[language]
        for language in LANGUAGES
    }


def word_or_name(block: str, key: str) -> Words:
    """An entry where there is one, else the key itself: what is new is shown all the same."""
    entry = all_words()[block].get(key)
    return dict(entry) if entry else same(key.replace("_", " "))


def same(text: str) -> Words:
    """What is written alike in both languages."""
    return dict.fromkeys(LANGUAGES, text)


def joined(parts: Sequence[Words], separators: Words) -> Words:
    """Several words in one line."""
    return {lang: separators[lang].join(part[lang] for part in parts) for lang in LANGUAGES}


LIST: Words = {"ja": "、", "en": ", "}
SENTENCES: Words = {"ja": "　", "en": " · "}


def metric_words(kind: str, name: str) -> Words:
    """The name of a summary metric in a task of this kind."""
    plain = name.removesuffix("_all")
    own = all_words()["single_label_metrics"] if kind == "single_label" else {}
    words: Words = own.get(plain) or all_words()["metrics"].get(plain) or same(plain)
    if name == plain:
        return words
    everything = all_words()["all_classes"]
    return {
        "ja": f"{words['ja']}、{everything['ja']}",
        "en": f"{words['en']}, {everything['en']}",
    }


def class_names(task: Mapping[str, Any], class_id: str) -> Words:
    """The names of a class; its id where the task has no such class."""
    entry = task["classes"].get(class_id)
    return entry["names"] if entry else same(class_id)


def in_both(message: str) -> Words:
    """A message of the program, and its translation."""
    return {"ja": told(message, "ja"), "en": message}


def both(ja: str, en: str) -> Words:
    """The same in both languages, ready for a table or heading."""
    return {"ja": ja, "en": en}
