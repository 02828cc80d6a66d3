"""Are the planner's executions cheap and in time, compared with fixed packing and a lower bound?"""
