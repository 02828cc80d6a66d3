"""EventBridge Scheduler in the embedded AWS, with a clock that tests can move."""
