"""What the embedded AWS, the functions and the command need for executions of thousands of models or objects."""
