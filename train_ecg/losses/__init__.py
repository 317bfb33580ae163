"""The losses and their targets: InfoNCE, SigLIP, all findings.

Must not know encoders or where data is stored.

loss          InfoNCE, SigLIP, all findings; the global batch     (pure)
objective     texts, loss and duplicates combined as the settings say
text_overlap  how the texts of a batch overlap                    (pure)
"""
