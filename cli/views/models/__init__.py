"""How models, fleets and recipes are shown."""
