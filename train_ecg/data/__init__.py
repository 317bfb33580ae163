"""What one step sees: records in order, paired with texts, augmented, on the device.

Owns order, pairing, augmentation and placement. Must not know losses or encoders.

inputs          stored int16 -> what the encoder sees               (pure)
augmentation    an ECG a little different each time                 (pure)
counter_random  random numbers that depend on the record alone      (pure)
pairing         what may be said of each ECG, and what a step says   (pure)
order           which records form which batch                      (pure)
placement       where the training signals lie, one batch ahead
"""
