"""TensorFlow, Keras and PyTorch models, whose inputs and outputs are tensors."""
