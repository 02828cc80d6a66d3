"""The scoring container as an AWS Batch array job: construct, submission, and the program that runs it."""
