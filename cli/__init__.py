"""The `fleetscore` command.

It calls AWS through boto3 only, so it works the same on the embedded AWS.
"""
