"""The ECG encoders: millivolts -> one feature vector per recording.

Owns architectures. Must not know texts, losses or training.

resnet1d  encoder: ResNet1d-18, -34, -50
cnn1d     encoder: a plain convolutional network
vit1d     encoder: a vision transformer over patches of time
layers    convolution, pooling over time, norms
build     the encoders by name
"""
