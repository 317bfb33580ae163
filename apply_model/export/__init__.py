"""The folder in which a trained model travels, `ecgpipe-export/1`.

Owns its files, and how each is made and checked. Must not know how a model is put to use.

model_folder  the files, the manifest, writing and checking them
model_hub     an exported folder on the hub, at a commit
patients      patients.json: who was in which split, as digests
onnx_encoder  encoder.onnx, and the proof that it computes what torch does
card          README.md of the folder
"""
