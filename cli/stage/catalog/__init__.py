"""The stage's catalog: models, versions, fleets and recipes."""
