"""One spelling of what reports write in many ways, for a text and for the names sought in it.

Owns spellings alone: width, case, degrees, abbreviations, the order of an English phrase. Unlike
`plain_name` it keeps the spaces between English words, because a report has words next to a name.
Pure: knows no list of findings. Both sides are spelt alike, so a rule can make no name unfindable.
"""

import re
import unicodedata

from ecgpipe.evaluate.tasks.finding_names import one_degree

_DASHES = str.maketrans(dict.fromkeys("−‐‑‒–—―", "-"))
_PRIVATE = re.compile("[\ue000-\uf8ff]")
"""Letters of no meaning, which `mentions` uses for its own."""

_JAPANESE = "぀-ヿ㐀-䶿一-鿿々"
_KANJI_OR_KATAKANA = "ァ-ヿ㐀-䶿一-鿿々"

_SIDES = "left|right|anterior|inferior|lateral|posterior"
_WALLS = "前壁|下壁|側壁|後壁"
_RULES = [
    (re.compile(pattern, re.ASCII), written)
    for pattern, written in (
        (r"\(ー\)", "(-)"),
        (r"\bw/o(?= )", "without"),
        (r"\bw/(?= )", "with"),
        (r"ischaem", "ischem"),
        (r"(?<=[a-z0-9])-(?=[a-z0-9])", " "),
        (r"\bnon (?=[a-z])", "non"),
        (r"(?<=[a-z])\(e?s\)", ""),
        (r"\b(supra|intra|bi|antero|infero|postero) (?=[a-z])", r"\1"),
        (
            rf"\b({_SIDES}) (and/or|and|or|nor) ({_SIDES}) (bundle branch block|atrial enlargement|"
            r"ventricular hypertrophy|axis deviation|ischemia|(?:wall |myocardial )?infarction)",
            r"\1 \4 \2 \3 \4",
        ),
        (rf"({_WALLS})(・|や|と|および|または)({_WALLS})(虚血|(?:心筋)?梗塞)", r"\1\4\2\3\4"),
        (r"\b(left|right) axis(?! dev)", r"\1 axis deviation"),
        (r"左[室房脚]?(・|や|と|および|または)右(室肥大|房負荷|脚ブロック)", r"左\2\1右\2"),
        (r"(上室|心房)性?(・|や|と|および|/)心室性?期外収縮", r"\1性期外収縮\2心室期外収縮"),
        (r"polaris", "polariz"),
        (r"\bpartial (?=\w+ bundle)", "incomplete "),
        (r"hemi ?block", "fascicular block"),
        (r"\ba ?v ?block|\bavb\b", "atrioventricular block"),
        (r"\bheart block", "atrioventricular block"),
        (r"\ba ?fib\b|\baf\b", "atrial fibrillation"),
        (r"\brvr\b", "rapid ventricular response"),
        (r"ventricular complex", "ventricular contraction"),
        (r"atrial complex", "atrial contraction"),
        (
            r"\b((?:supra)?ventricular|atrial) (?:extrasystole|ectopic beat)",
            r"\1 premature contraction",
        ),
        (r"\bst(?: segment)?s? (?:is|are) (?:\w+ly )?(depress|elevat)ed", r"st \1ion"),
        (r"\bt waves? (?:is |are )?(?:\w+ly )?negative\b|\bnegative t waves?", "inverted t wave"),
        (r"\bt waves? (?:is|are) (?:\w+ly )?(?:low or )?(inverted|flat)\b", r"\1 t wave"),
        (r"\bt wave flattening", "flat t wave"),
        (r"\blow (?:limb|chest) lead voltages?", "low voltage"),
        (r"\bst segment|stセグメント|st部分", "st"),
        (r"\bqtc", "qt"),
        (r"\b(p[qr]|qt) ?(?:interval|間隔|時間)", r"\1"),
        (
            r"\b(p[qr]|qt) (?:prolongation|(?:is )?prolonged)|\bprolongation of the (p[qr]|qt)",
            r"prolonged \1\2",
        ),
        (r"\b(st|t) ?波(?=異常|変化)", r"\1 "),
        (
            r"\b(\w+(?:ior|al)) (?:wall )?(?:myocardial )?(?:infarction|infarct|mi)\b",
            r"\1 wall infarction",
        ),
        (r"\b(?:previous|prior) (?=(?:\w+ )?\w+ wall infarction)", "old "),
        (r"\bst t wave ", "st t "),
        (r"(?<=[壁隔])(?:心筋)?梗塞", "梗塞"),
        (r"(完全|極端|異常|高度|特異的|多源性|促進性|急性|陳旧性)な(?![しくい])", r"\1"),
        (rf"(?<=[{_KANJI_OR_KATAKANA}a-z0-9])の(?=[{_KANJI_OR_KATAKANA}a-z0-9])", ""),
    )
]
_BLANKS = re.compile(
    rf"(?<=[{_JAPANESE}])[ \t]+(?=[ぁ-んa-z0-9(疑所有無])|(?<=[a-z0-9)])[ \t]+(?=[{_JAPANESE}])"
)
_LIST_BLANKS = re.compile(rf"(?<=[{_JAPANESE}])[ \t]+(?=[{_JAPANESE}])")


def one_spelling(text: str) -> str:
    """The text in one width, case and spelling, with line breaks as they were.

    A blank between two Japanese words separates them as 、 does.
    """
    spelt = unicodedata.normalize("NFKC", _PRIVATE.sub(" ", text)).translate(_DASHES)
    if not (spelt.isupper() and re.search("[A-Z]{5}", spelt)):
        spelt = re.sub(r"\bAT\b", "atrial tachycardia", spelt, flags=re.ASCII)  # "at" is a word
    spelt = re.sub(r"[ \t]+", " ", spelt.casefold())
    spelt = _LIST_BLANKS.sub("、", _BLANKS.sub("", spelt))
    for pattern, written in _RULES[:5]:
        spelt = pattern.sub(written, spelt)
    spelt = one_degree(spelt.replace("avブロック", "房室ブロック"))
    for pattern, written in _RULES[5:]:
        spelt = pattern.sub(written, spelt)
    return spelt.strip()
