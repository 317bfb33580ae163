"""Evaluated runs side by side, and beside published metrics.

Owns paired differences and their p-values. Must not know how a run was made.

comparison  runs side by side: paired differences, p-values     (pure)
words       what each run scores by words trained on, and others (pure)
report      a comparison -> Markdown and the terminal
published   what others published, on other ECGs
"""
