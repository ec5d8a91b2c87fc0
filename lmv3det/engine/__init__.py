"""What trains: the trainer, its step, optimizer, processes, log and resuming.

Imports `checkpoint`, `evaluation`, `visualization`, `data`, `model` and what is below them.
"""
