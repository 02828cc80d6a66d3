"""The command line: click classes, shared options, global options, and output."""
