"""Snapshots of Delta Lake and Iceberg tables: read, checked, and written down as a manifest."""
