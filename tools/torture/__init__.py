"""`python -m tools.torture`: jobs that are killed in the middle, and folders that fail them.

Each job is run once to its end, then again and again with `kill -9` at random moments, half of them
right before a random file operation, and started anew each time until it is done. What is there
after a kill must be whole, nothing that was done may be lost, and the end must be that of the job
that nobody killed.
"""
