"""Which language a person reads: ECGPIPE_LANG, else that of the locale.

Owns the order of the environment variables. They are looked up at each call, since that costs less
than remembering would save.
"""

import os
from typing import Literal

from ecgpipe.errors import ConfigError

Language = Literal["ja", "en"]

VARIABLE = "ECGPIPE_LANG"


def chosen_language() -> Language:
    """The language of this process.

    ECGPIPE_LANG is `ja` or `en`. Without it, the first of LC_ALL, LC_MESSAGES and LANG that is set
    decides: Japanese if it begins with `ja`, as ja_JP.UTF-8 does, else English.

    Raises:
        ConfigError: ECGPIPE_LANG is something else.
    """
    match os.environ.get(VARIABLE, ""):
        case "ja":
            return "ja"
        case "en":
            return "en"
        case "":
            names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
            locale = next(filter(None, names), "")
            return "ja" if locale.partition("_")[0].partition(".")[0] == "ja" else "en"
        case other:
            raise ConfigError(f"{VARIABLE} is {other!r}. Set it to ja or en, or leave it out.")
