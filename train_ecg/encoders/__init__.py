"""The ECG encoders: int16 windows in model units -> one vector each.

Owns architectures. Must not know texts, losses or training.

resnet1d           encoder: ResNet1d-18, -34, -50
cnn1d              encoder: a plain convolutional network
vit1d              encoder: a vision transformer over patches of time
attention_pooling  pooling over time by a learned query
layers             convolution and pooling over time, channels side by side
norm               batch norm or group norm
build              the encoders by name
"""
