"""Operations on a deployed stage: its catalog, executions, schedules and recipes."""
