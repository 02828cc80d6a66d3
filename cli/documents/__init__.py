"""Input files: models, recipes, artifacts, templates of dataset names."""
