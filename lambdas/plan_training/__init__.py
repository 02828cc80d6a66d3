"""PlanTraining: decide which models are trained on which data, and write it down first."""
