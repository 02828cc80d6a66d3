"""How much CPU time, memory and S3 writes does the plan of a large execution take?"""
