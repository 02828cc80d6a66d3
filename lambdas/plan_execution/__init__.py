"""PlanExecution: what an execution scores, written down before anything is scored."""
