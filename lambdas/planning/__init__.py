"""The execution's record, checks of models and the choice of recipes, for the planning steps."""
