"""The `fleetscore` command: boto3 below, so that it works on an AWS account and on the embedded AWS alike."""
