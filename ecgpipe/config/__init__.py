"""Every setting of pipeline.yaml, as frozen dataclasses.

Owns each setting's name, meaning, default and limits; each has its sentence under it. Must not know
what a setting is used for.

settings   what every block of settings has in common
data       `data:`, the sources and what becomes of each signal
text       `text:`, the language model and what it reads
train      `train:`, the encoder and how it is trained
evaluate   `eval:`, what is scored
cluster    `cluster:`, how the stages are queued
presets    named sets of training settings
pipeline   one experiment, complete
file       pipeline.yaml -> PipelineConfig, or refused with the way out
"""
