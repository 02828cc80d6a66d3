"""Input that people and other tools write: models, recipes, artifacts, templates of dataset names."""
