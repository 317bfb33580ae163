"""What a report says in free text: findings that it asserts, denies and leaves uncertain.

Owns the words of denial, doubt and history in Japanese and English, and how far each reaches. Pure
rules over the names of a taxonomy; must not know ECGs, models or scores.

spelling       one spelling of what reports write in many ways           (pure)
mentions       the names of a taxonomy -> where a text has them          (pure)
cues           kinds of words of denial, doubt and history; finding them (pure)
japanese_cues  those words in Japanese                                   (pure)
english_cues   those words in English                                    (pure)
report_parser  a report -> its findings, asserted, denied or uncertain   (pure)
"""
