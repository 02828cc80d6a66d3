"""SummarizeExecution: close all records of an execution and write its summary."""
