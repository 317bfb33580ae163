"""ja.po is whole: every message of the source, translated, and recognised when it is met."""

import re
import unicodedata
from string import Formatter

from babel.messages.pofile import read_po
from messages import messages
from update_messages import CATALOGUE

from ecgpipe.language.catalogue import japanese, read_catalogue
from ecgpipe.language.recognition import names_in
from ecgpipe.language.translation import told

MEND = "Run `make messages`, then translate in ecgpipe/language/ja.po what is listed here"


def test_every_message_of_the_source_is_in_the_catalogue_and_translated() -> None:
    lacking = [message for message in messages() if message not in japanese()]
    assert not lacking, f"{MEND}:\n" + "\n".join(map(repr, lacking))


def test_the_catalogue_holds_no_message_that_the_source_no_longer_has() -> None:
    gone = set(japanese()) - set(messages())
    assert not gone, "Run `make messages`, which drops them:\n" + "\n".join(map(repr, gone))


def test_no_translation_is_a_guess_of_babel() -> None:
    with CATALOGUE.open("rb") as file:
        fuzzy = [entry.id for entry in read_po(file, locale="ja") if entry.id and entry.fuzzy]
    assert not fuzzy, "Correct these and remove `#, fuzzy`:\n" + "\n".join(map(repr, fuzzy))


def test_our_reading_of_the_catalogue_is_babels() -> None:
    with CATALOGUE.open("rb") as file:
        entries = [entry for entry in read_po(file, locale="ja") if entry.id and entry.string]
        theirs = {entry.id: entry.string for entry in entries if not entry.fuzzy}
    assert dict(read_catalogue(CATALOGUE.read_text("utf-8"))) == theirs


def test_a_translation_has_the_parts_of_its_message_and_names_the_same_options() -> None:
    faults = []
    for message, translation in japanese().items():
        plural = {name for name in names_in(message) if re.fullmatch(r"s\d*|verb|recordings", name)}
        if set(names_in(translation)) != set(names_in(message)) - plural:
            faults.append(f"{message!r} has other parts than {translation!r}")
        quoted = re.findall(r"`[^`{]+`|(?<!\w)--[a-z][a-z-]+", message)
        faults += [f"{message!r} names {q}" for q in quoted if q not in translation]
    assert not faults, "\n".join(faults)


def example(message: str) -> tuple[str, dict[str, str]]:
    """A message as a text, with the values that fill its holes."""
    text, values, filled_before = "", {}, False
    for number, (literal, name, form, conversion) in enumerate(Formatter().parse(message)):
        text += literal
        if literal:
            filled_before = False
        if name is None:
            continue
        value = f"v{number}"
        if name.rstrip("0123456789") == "s":
            value = "s"
        elif form and form[-1] in ",dfg%":
            value = f"{number + 2}%" if form.endswith("%") else str(number + 2)
        elif conversion:
            value = f"'v{number}'"
        elif filled_before:
            value = ""  # a remark, which may be missing
        filled_before = True
        values[name] = value
        text += value if name != "unit" else "ECGs"
        if name == "unit":  # known ones only
            values[name] = japanese()["ECGs"]
    return text, values


def test_every_message_is_recognised_when_it_is_met() -> None:
    faults = []
    for message, translation in japanese().items():
        text, values = example(message)
        if re.match(r"{\w+}{\w+:", message):  # a remark, then a number
            text = text.replace(next(iter(values.values())), "", 1)
            values |= {next(iter(values)): ""}
        wanted = re.sub(r"(?<!{){(\w+)[!:][^{}]*}", r"{\1}", translation).format(**values)
        if letters(told(text, "ja")) != letters(wanted):
            faults.append(f"{text!r} becomes {told(text, 'ja')!r}, not {wanted!r}")
    assert not faults, "Word these messages less alike:\n" + "\n".join(faults)


def letters(text: str) -> str:
    """Without spaces and punctuation, which depend on what stands beside a message."""
    return "".join(each for each in text if unicodedata.category(each)[0] in "LNS")
