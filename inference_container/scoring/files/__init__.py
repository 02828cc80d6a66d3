"""Files on the instance's disks: where they are, how they are copied, and when they appear."""
