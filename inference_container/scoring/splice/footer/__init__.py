"""Parquet footers: parse an input's footer,
describe new column chunks, write the output's footer.
"""
