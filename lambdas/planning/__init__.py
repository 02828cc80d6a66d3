"""What the planning steps share: drafts of executions, checks of models, the execution's record."""
