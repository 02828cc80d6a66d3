"""States that run several branches concurrently: Parallel, inline Map and distributed Map."""
