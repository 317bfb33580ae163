"""What is minimised: InfoNCE, SigLIP, all findings.

Owns losses and their targets. Must not know encoders or where data lies.

loss          InfoNCE, SigLIP, all findings; the global batch     (pure)
objective     texts, loss and duplicates as the settings say
text_overlap  how the texts of a batch overlap                    (pure)
"""
