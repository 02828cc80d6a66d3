"""Processing jobs: supported requests, descriptions and runs."""
