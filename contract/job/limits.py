"""Limits of jobs and executions, which checks and the planner share."""

MAX_CONCURRENCY_LIMIT = 10_000
"""Maximum concurrent child executions of a distributed Map."""
MAX_MODELS_PER_JOB = 1_000
MAX_COMMITS = 1_000_000
"""Maximum of objects times models per job. VerifyOutput reads one commit for each, which
`benchmarks.verifying` measures.
"""
