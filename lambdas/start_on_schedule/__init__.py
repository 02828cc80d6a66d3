"""StartOnSchedule: start one execution per schedule and scheduled time."""
