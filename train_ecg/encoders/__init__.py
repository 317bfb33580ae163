"""The ECG encoders: millivolts -> one feature vector per recording.

Owns architectures. Must not know texts, losses or training.

resnet1d  encoder: ResNet1d-18, -34, -50
cnn1d     encoder: a plain convolutional network
vit1d     encoder: a vision transformer over patches of time
beat_intervals  beside any of these: the intervals between beats
layers    convolution, pooling over time, norms
encoder   what every encoder is
build     the encoders by name
"""
