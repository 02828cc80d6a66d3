"""Snapshots of Delta Lake and Iceberg tables, and the manifests written from them."""
