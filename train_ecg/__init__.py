"""Stage two: an ECG encoder and two linear projections, trained against kept text vectors.

Owns the model, the loss, the loop and its checkpoints. Must not know transformers, tasks or
metrics: it is handed int16 signals, text vectors, and a callable that validates.

encoders/      the ECG encoders: int16 windows in model units -> one vector each
data/          what one step sees: records in order, paired with texts, augmented, on the device
losses/        what is minimised: InfoNCE, SigLIP, all findings
loop/          the training loop: steps, epochs, checkpoints, resume, several processes
torch_errors   no memory, a process that is gone: said to people
trained_model  the model folder: saving, loading, encoding
two_towers     encoder, projections, temperature: one module
"""
