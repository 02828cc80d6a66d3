"""Parquet footers: parse the input's, describe new column chunks, write the output's."""
