"""Stage two: an ECG encoder and two linear projections, trained against kept text vectors.

Owns the model, the loss, the loop and its checkpoints. Must not know transformers, tasks or
metrics: it is handed int16 signals, text vectors, and a callable that validates.

inputs          stored int16 -> what the encoder sees                  (pure)
resnet1d        the encoder
two_towers      encoder, projections, temperature: one module
loss            symmetric InfoNCE over the global batch                (pure)
gather          collecting the global batch from all processes, with gradient
order           which records form which batch                         (pure)
checkpoint      saving and finding states that are whole
trained_model   the model folder: saving, loading, encoding
training        the stage: epochs, validation, resume
"""
