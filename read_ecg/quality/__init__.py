"""What is measured of a recording, and what looks suspicious.

Owns measures and their limits. Must not know where a recording came from or where it goes.

measures    mains noise, clipping, disagreeing limb leads: measured of every recording
einthoven   whether the limb leads agree, and what mistake would explain that they do not
inspection  the facts of one recording that a person would look at
suspicion   facts of all recordings -> what is suspicious
"""
