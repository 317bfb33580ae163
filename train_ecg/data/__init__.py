"""What one step sees: records in order, paired with texts, augmented, on the device.

Owns order, pairing, augmentation and placement. Must not know losses or encoders.

inputs          stored int16 -> what the encoder sees               (pure)
augmentation    an ECG a little different each time                 (pure)
counter_random  random numbers that depend on the record alone      (pure)
pairing         batches of records, each paired with a text          (pure)
wording_draws   which of its wordings says a text of a record        (pure)
placement       where the training signals are kept, and their batches
"""
