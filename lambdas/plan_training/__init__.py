"""PlanTraining: which models an execution trains, on what, written down before anything is trained."""
