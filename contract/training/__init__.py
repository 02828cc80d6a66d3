"""How models are trained: recipes, training job specs and reports, and hyperparameters."""
