"""The words by which an English report denies, doubts, tells history, or ends one of these.

Written as `one_spelling` writes a report: in lower case, without hyphens. Pure.
"""

from ecgpipe.evaluate.statements.cues import cue
from ecgpipe.evaluate.statements.mentions import MARK

_IS = "(?:is|are|was|were|be|been|has|have|had)"
_SEEN = (
    "(?:seen|present|noted|found|identified|evident|observed|detected|demonstrated|apparent|met)"
)
_CANNOT = "(?:can ?not|could not|can't)"

ENGLISH_CUES = (
    cue(
        "denied",
        "before",
        "closed list",
        rf"(?:{_IS} )?(?:not|no longer) (?:be(?:en)? )?(?:\w+ly )?{_SEEN}",
        rf"(?:{_IS} |been )?(?:ruled out|excluded|absent|unlikely|negative(?! for))",
        rf"(?:{_IS} |been )?(?:resolved|normali[sz]ed|disappeared|regressed)",
        f"{_IS} not",
    ),
    cue("denied", "before", "near", r":\s*(?:no|none|nil|absent|negative)\b"),
    cue(
        "denied",
        "after",
        "closed list",
        r"\b(?:no|without|neither|negative for|absence of|free of|lacks?|lacking|denies)\b"
        r"(?: (?:\w+ )?(?:evidence|signs?|criteria|suggestion|features?)(?: of| for)?)?",
        r"\b(?:does|do|did|is|are|was) not (?:\w+ )*?(?:for|of|with|show|have|demonstrate)\b",
        r"\bnot (?:suggestive|consistent|compatible|diagnostic|indicative) (?:of|with|for)\b",
        r"\bnot\b",
        r"\b(?:rather than|instead of)\b",
        r"\b(?:excludes|excluding)\b",
    ),
    cue(
        "uncertain",
        "before",
        "closed list",
        rf"{_CANNOT} be (?:\w+ly )?(?:excluded|ruled out)",
        r"\bnot excluded",
        # Not of what follows: "possible LVH" is below.
        r"(?:(?:is|are) )?\b(?:possible|probable|likely|suspected|questionable|suggested)\b"
        rf"(?!(?: \w+){{0,2}} {MARK})",
        r"\b(?:may|might|could) be present",
        r"\b(?:should|must|may) be considered",
        r"\bis (?:probably|possibly|likely) (?:present|seen)",
    ),
    cue(
        "uncertain",
        "after",
        "closed list",
        r"\b(?:possibl[ey]|probabl[ey]|likely|questionable)\b",
        r"\b(?:suspected|suspicious (?:for|of)|suspicion of)\b",
        rf"\b(?:{_CANNOT} (?:be )?)?(?:exclude|rule out)\b",
        r"\br/o\b",
        r"\b(?:suggest(?:s|ed|ing|ive of)?|consistent with|compatible with|c/w|indicative of)\b",
        r"\b(?:consider(?:ed|ing)?|borderline|concern(?:ing)? for|suspect(?:s|ing)?)\b",
        r"\b(?:may|might|could) be(?: due to)?\b",
        r"\bmay (?:represent|reflect|indicate)\b",
        r"\b(?:likely|probably|possibly) due to\b",
        r"\bappears? to be\b|\bas seen in\b",
        r"\b(?:favou?red|preferred) over\b",
    ),
    cue("uncertain", "both", "near", r"\b(?:vs\b\.?|versus\b)"),
    cue(
        "not of now",
        "before",
        "near",
        r"\b(?:(?:has been|was|is|has) )?(?:replaced by|(?:converted|changed) to)\b",
    ),
    cue(
        "not of now",
        "after",
        "closed list",
        r"\b(?:if|history of|h/o|previously|known)\b",
        r"\breplac(?:es|ing|ed(?! by))\b",
        r"\b(?:evaluation|assessment|interpretation) of\b",
        r"\b(?:previous|prior|last|old|earlier) (?:ecg|ekg|tracing|study|electrocardiogram)s? "
        r"(?:had |has )?(?:show(?:ed|n|s)?|demonstrated|with|revealed)\b",
        rf"\b(?:previous|prior)(?= {MARK})",
    ),
    cue(
        "nothing",
        "after",
        "near",
        r"\b(?:but|however|although|though|whereas|while|except|apart from|other than|than)\b",
        r"\b(?:with|which|due to|there (?:is|are)|shows?|showing|demonstrates|reveals)\b",
        r"\b(?:now|today|currently)\b",
        r"(?<=, )(?:occasional|frequent|isolated|rare|multiple)\b",
        r"\bno (?:\w+ )?change\b(?: in (?:the )?(?:known )?)?",
        r"\b(?:unchanged|no further)\b",
    ),
    cue(
        "nothing",
        "before",
        "near",
        rf"\b{_IS} (?:\w+ly )?(?:{_SEEN}|unchanged)\b",
        r"\b(?:present|noted)\b",
    ),
)
