"""A trained detector on disk: one file, or a folder of safetensors, and the way back to a model.

Imports `model`, `text`, `data`, `config`; training, evaluation and prediction import it.
"""
