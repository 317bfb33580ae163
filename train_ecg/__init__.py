"""Stage two: an ECG encoder and two linear projections, trained against kept text vectors.

Owns the model, the loss, the loop and its checkpoints. Must not know transformers, tasks or
metrics: it is handed int16 signals, text vectors, and a callable that validates.

inputs             stored int16 -> what the encoder sees               (pure)
augmentation       an ECG a little different each time                 (pure)
counter_random     random numbers that depend on the record alone      (pure)
resnet1d           encoder: ResNet1d-18, -34, -50
cnn1d              encoder: a plain convolutional network
vit1d              encoder: a vision transformer over patches of time
time_layers        convolution and pooling over time, channels side by side
norm               batch norm or group norm
attention_pooling  pooling over time by a learned query
encoders           the encoders by name
two_towers         encoder, projections, temperature: one module
pairing            what may be said of each ECG, and what a step says   (pure)
objective          texts, loss and duplicates as the settings say
loss               InfoNCE, SigLIP, all findings; the global batch     (pure)
text_overlap       how the texts of a batch overlap                    (pure)
batch_parts        the global batch in parts, and sums over them, alike on any processes
order              which records form which batch                      (pure)
placement          where the training signals lie, one batch ahead
agreement          what several processes must decide as one
own_stream         a CUDA stream for each of several runs at once
kept_epoch         which epoch's model is kept, and where training ends   (pure)
schedule           the learning rate of every step                     (pure)
step               one step: precision, capture as a CUDA graph
torch_errors       no memory, a process that is gone: said to people
step_profile       where the time of a step goes
checkpoint         saving and finding states that are whole
run_state          where a run stands, and what is kept of it
run_log            log.jsonl, steps.jsonl, TensorBoard
trained_model      the model folder: saving, loading, encoding
training           the stage: epochs, validation, resume
"""
