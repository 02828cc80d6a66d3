"""What commands show: tables and lines for people, JSON values for programs."""
