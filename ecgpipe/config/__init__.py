"""Every setting of pipeline.yaml, as frozen dataclasses.

Owns each setting's name, meaning, default and limits, with a sentence under each. Must not know how
a setting is used.

settings      the base class of every block of settings
data          `data:`, the sources and how each signal is prepared
echo          `data.echo`, a table of echocardiograms
source_names  what a source is called, so that every name means one
text          `text:`, the language model and the texts it reads
train         `train:`, the encoder and how it is trained
evaluate      `eval:`, what is scored
cluster       `cluster:`, how the stages are queued
presets       named sets of training settings
pipeline      one experiment, complete
places        settings without the place in which things lie on this machine
yaml_mistakes tabs and full-width characters, in plain words                       (pure)
mistakes      what is wrong with settings, and which known one a misspelt one may be  (pure)
file          pipeline.yaml -> PipelineConfig, or an error that says what to do
"""
