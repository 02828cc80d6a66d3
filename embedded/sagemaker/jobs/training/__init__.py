"""Training jobs: what they may ask for, how they are described, and their course with spot
interruptions.
"""
