"""The steps of the two workflows that are Lambda functions: one folder per step, named like the
step.

In each folder, `handler.py` parses the event, calls the step and returns its result. The module
named after the step's verb does the work. `decisions.py`, where there is one, holds pure functions
without I/O. Steps do not import each other. They share these packages:

- `stage`: settings, AWS clients, table, buckets and logs; only one module calls each AWS operation
- `dataset`: which objects of a dataset are data, and their columns
- `planning`: what PlanExecution, PlanTraining and PrepareTraining share
- `attempts`: what the steps of a job's attempt share
"""
