"""How long VerifyOutput takes, in CPU time and memory."""
