"""What states compute from their input: comparisons, intrinsic functions and the time to wait."""
