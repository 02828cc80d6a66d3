"""The check on a machine with a GPU: `make gpu-check`. Only `python -m benchmarks.gpu` is a command of its own."""
