"""The deployed stage as the functions use it: settings, AWS clients, table, buckets and logs."""
