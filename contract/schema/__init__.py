"""Descriptions of dataclass fields, and the JSON Schemas and tables that are generated from
them."""
