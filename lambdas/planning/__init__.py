"""What PlanExecution, PlanTraining and PrepareTraining share: the execution's record, checks, and
the choice of recipes.
"""
