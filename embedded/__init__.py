"""The embedded AWS: the AWS that runs inside one process on a laptop."""
