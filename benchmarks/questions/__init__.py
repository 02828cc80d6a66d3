"""One program per benchmark question: `python -m benchmarks.questions.<name>`."""
