"""The parts of `choose_plan`: times, ways to divide the work, their choice, and the schedule."""
