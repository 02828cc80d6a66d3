"""How much CPU time and memory does the plan take that resumes an execution of thousands of jobs?"""
