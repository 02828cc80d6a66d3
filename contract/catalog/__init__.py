"""Models, versions, recipes and hyperparameters: what the catalog holds."""
