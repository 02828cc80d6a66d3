"""What a model's file says about itself, read without running it: format, versions, classes that it needs."""
