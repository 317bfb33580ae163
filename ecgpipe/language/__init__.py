"""What a person reads, in the language of that person: English or Japanese.

English is the source and stays in the rooms, which know of no language. A finished English text is
put into Japanese where it leaves the program, by the catalogue ja.po. Machines get English: JSON,
CSV, logs of training, stack traces.

choice       which language: ECGPIPE_LANG, else that of the locale
catalogue    ja.po: each message and its translation
recognition  which message a text is, and what fills its holes
translation  a finished English text -> Japanese
layout       lines of text whose characters may be two columns wide
"""
