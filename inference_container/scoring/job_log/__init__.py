"""The job's log: its events, and what models, scripts and libraries print, as lines of JSON."""
