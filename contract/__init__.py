"""The messages, paths, keys and names that the parts of Fleetscore share. Standard library only.

The Lambda code and the container image each ship a copy of this package, and they can be deployed
minutes apart. So every message carries `codec.SCHEMA_VERSION`, and a reader refuses a version that
it does not know.
"""
