"""Stage two: an ECG encoder and two linear projections, trained against kept text vectors.

Owns the model, the loss, the loop and its checkpoints. Must not know transformers, tasks or
metrics: it is given int16 signals, text vectors, and a callable that validates.

encoders/      the ECG encoders: millivolts -> one feature vector per recording
data/          what one step sees: records in order, paired with texts, augmented, on the device
losses/        InfoNCE, SigLIP, all findings
loop/          the training loop: steps, epochs, checkpoints, resume, several processes
text_axes      the axes on which texts differ, and their wordings do not
text_meanings  which of the texts trained on another may mean
starting_point weights of another model, to begin with
torch_errors   out of memory, lost process: in words for people
trained_model  the model folder: saving, loading, encoding
two_towers     encoder, projections, temperature: one module
"""
