"""The stage that a function works in: settings, tables, buckets and logs."""
