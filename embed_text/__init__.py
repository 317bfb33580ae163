"""Stage one: texts to vectors, by a frozen language model, each distinct text once.

Owns prompts, the language model, and how a batch becomes vectors. Must not know ECGs, training or
tasks: it is handed sentences. Only loading, tokens, pooling and language_model import torch or
transformers, so everything else here is quick to import.

prompts          what exactly the model reads, and the key of a text  (pure)
tokens           sentences -> token ids
batches          which texts go through together, and in what shape   (pure)
model_files      where a model's files are, and the fingerprint they give
model_fetch      downloading a model for machines without internet
loading          how transformers is asked to load anything
language_model   loading and running the model
pooling          hidden states -> one vector a text                   (pure)
throughput       how busy the device is                               (pure)
embedding        the stage: texts without a vector -> sealed parts
"""
