"""Commands for models, fleets and recipes."""
