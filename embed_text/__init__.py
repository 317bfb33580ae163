"""Stage one: texts to vectors, by a frozen language model, each distinct text once.

Owns prompts, the language model, and how a batch becomes vectors. Must not know ECGs, training or
tasks: its input is sentences. Only loading, tokens, attention, pooling, language_model, processor
and direct import torch or transformers, so everything else here imports quickly.

prompts          the exact text the model reads, and its key          (pure)
tokens           sentences -> token ids
batches          which texts are computed together, and in what shape (pure)
controls         vectors that know no language: random, one-hot  (pure)
model_files      finding a model's files, and their fingerprint
gguf_header      what a GGUF file says of its model before the weights
hub              whether the hub would give a model
model_fetch      downloading a model for machines without internet
loading          how transformers loads anything
attention        attention of a causal model without a mask
language_model   loading and running the model
causal_model     the same model with its head, which writes
pooling          hidden states -> one vector per text                 (pure)
processor        how fast this machine's processor multiplies
throughput       how busy the device is                               (pure)
embedding        the stage: texts without a vector -> sealed part files
direct           vectors of a few sentences, which are not kept
"""
