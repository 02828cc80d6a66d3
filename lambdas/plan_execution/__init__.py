"""PlanExecution: decide what an execution scores, and write it down before anything is scored."""
