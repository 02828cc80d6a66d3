"""PrepareTraining: name the training execution that a scoring execution starts first."""
