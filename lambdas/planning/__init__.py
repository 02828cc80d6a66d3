"""What both plans share: execution records and the choice of recipes."""
