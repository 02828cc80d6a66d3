"""Training of models: recipes, training job specs and reports, and hyperparameters."""
