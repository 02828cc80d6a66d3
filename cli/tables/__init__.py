"""Snapshots of Delta Lake, Iceberg and Glue tables, and the manifests written from them."""
