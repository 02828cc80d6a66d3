"""The training data: the channel files, their rows in batches, labels, and which rows are held out."""
