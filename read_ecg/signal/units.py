"""Units of voltage, as files spell them.

Owns what each is in millivolts. What a format allows besides stands with that format.
"""

# Micro is two characters: U+00B5 and the Greek letter U+03BC.
MV_PER_UNIT = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3}
