"""The planner: which jobs, on which instances, score a fleet by a deadline at the smallest cost.

Pure functions over plain values: nothing here reads a clock, a file outside this folder, or AWS.
docs/why/planner.md explains the algorithm.
"""
