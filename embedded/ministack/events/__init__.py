"""Queues, event source mappings and schedules in ministack."""
