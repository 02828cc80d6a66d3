"""ministack's state machines and executions, and the parts of its interpreter that ours uses."""
