"""start_on_schedule: one execution a schedule and scheduled time."""
