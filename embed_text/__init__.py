"""Stage one: texts to vectors, by a frozen language model, each distinct text once.

Owns prompts, the language model, and how a batch becomes vectors. Must not know ECGs, training or
tasks: it is handed sentences. Only `language_model` imports torch and transformers, so everything
else here is quick to import.

prompts          what exactly the model reads, and the key of a text  (pure)
batches          which texts go through the model together            (pure)
model_files      where a model's files are, and the fingerprint they give
language_model   loading and running the model
embedding        the stage: texts without a vector -> sealed parts
"""
