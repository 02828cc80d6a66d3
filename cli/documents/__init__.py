"""Files that people and other tools write: models, recipes, artifacts."""
