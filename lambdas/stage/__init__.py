"""Everything that a function reaches outside of its event: settings, AWS clients, table, buckets
and logs.
"""
