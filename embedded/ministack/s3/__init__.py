"""Objects and buckets in ministack: contents, checksums, encryption and lifecycle."""
