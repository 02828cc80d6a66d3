"""Training jobs: supported requests, descriptions, and runs with spot interruptions."""
