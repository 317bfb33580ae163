"""Texts that training never read: other words for its findings, and findings it never named.

Owns what such a text is worth beside one that training read, and beside chance.

spoken    wordings, each scored by itself                        (pure)
wordings  findings scored by words that training never saw
unseen    findings that training never named
"""
